"""Reading a run directory for the report, whether the run has ended, goes on or crashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpost import jsonl
from rlpost.jsonl import Record
from rlpost.rundir import CONFIG, EVENTS, METRICS, ROLLOUTS, TRACE, check_run
from rlpost.summary import read_summary
from rlpost.trace import Span, read_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """What a run directory holds."""

    name: str
    config: str
    steps: Sequence[Record]
    events: Sequence[Record]
    spans: Sequence[Span]
    samples: Sequence[Record]
    """A few groups with their completions, spread over the run."""
    summary: dict[str, Any] | None
    """None until the run has ended."""


def read_run(run_dir: Path, *, num_samples: int = 5) -> RunData:
    """Everything the report shows. UserError when ``run_dir`` holds no run."""
    check_run(run_dir)
    return RunData(
        name=run_dir.resolve().name,
        config=(run_dir / CONFIG).read_text(encoding="utf-8"),
        steps=jsonl.read(run_dir / METRICS),
        events=jsonl.read(run_dir / EVENTS),
        spans=read_spans(run_dir / TRACE),
        samples=_samples(run_dir / ROLLOUTS, num_samples),
        summary=read_summary(run_dir),
    )


def _samples(folder: Path, count: int) -> list[Record]:
    """From steps spread evenly over the run, the group whose rewards differ most."""
    paths = sorted(folder.glob("step-*.jsonl"))
    count = min(count, len(paths))
    chosen = [paths[round(i * (len(paths) - 1) / max(1, count - 1))] for i in range(count)]
    groups = [jsonl.read(path) for path in chosen]
    return [max(found, key=_spread) for found in groups if found]


def _spread(group: Record) -> float:
    rewards = [c["reward"] for c in group["completions"] if c["reward"] is not None]
    return max(rewards) - min(rewards) if rewards else 0.0
