"""Reading a run directory for the report, whether the run has ended, goes on or crashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankers.files import jsonl
from rankers.files.jsonl import Record
from rlpost.tracking.run_dir import (
    CONFIG,
    EVENT,
    EVENTS,
    METRICS,
    ROLLOUTS,
    STEP,
    TRACE,
    check_run,
    only_damaged,
)
from rlpost.tracking.summary import SUMMARY, read_summary
from rlpost.tracking.trace import Span, recover_spans

GROUP: jsonl.Needs = {"step": int, "prompt": list, "completions": list, "payload": object}


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
    damaged: Mapping[str, int] = field(default_factory=dict)
    """File -> lines of it that cannot be read and are left out."""


def read_run_dir(run_dir: Path, *, num_samples: int = 5) -> RunData:
    """Everything the report shows. UserError when ``run_dir`` holds no run."""
    check_run(run_dir)
    steps, bad_steps = jsonl.recover(run_dir / METRICS, STEP)
    events, bad_events = jsonl.recover(run_dir / EVENTS, EVENT)
    spans, bad_spans = recover_spans(run_dir / TRACE)
    samples, bad_groups = _samples(run_dir / ROLLOUTS, num_samples)
    counts = {METRICS: bad_steps, EVENTS: bad_events, TRACE: bad_spans, ROLLOUTS: bad_groups}
    summary, bad_summary = _summary(run_dir)
    return RunData(
        name=run_dir.resolve().name,
        config=(run_dir / CONFIG).read_text(encoding="utf-8"),
        steps=steps,
        events=events,
        spans=spans,
        samples=samples,
        summary=summary,
        damaged=only_damaged({**counts, SUMMARY: bad_summary}),
    )


def _summary(run_dir: Path) -> tuple[dict[str, Any] | None, int]:
    try:
        return read_summary(run_dir), 0
    except ValueError:
        return None, 1


def _samples(folder: Path, count: int) -> tuple[list[Record], int]:
    """From steps spread evenly over the run, the group whose rewards differ most."""
    paths = sorted(folder.glob("step-*.jsonl"))
    count = min(count, len(paths))
    chosen = [paths[round(i * (len(paths) - 1) / max(1, count - 1))] for i in range(count)]
    found = [jsonl.recover(path, GROUP) for path in chosen]
    samples = [max(read.records, key=_spread) for read in found if read.records]
    return samples, sum(read.damaged for read in found)


def _spread(group: Record) -> float:
    rewards = [c["reward"] for c in group["completions"] if c["reward"] is not None]
    return max(rewards) - min(rewards) if rewards else 0.0
