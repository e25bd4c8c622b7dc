"""What runs cost, from the traces that `rlpost rerank` leaves beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rankers.evaluation.provenance import trace_of

_COUNTED = {"query", "seconds", "calls", "prompt_tokens", "generated_tokens", "malformed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """Means over queries, and percentiles of the time until a ranking stood."""

    calls_per_query: float
    tokens_per_query: float
    """Read and written."""
    seconds_p50: float
    seconds_p95: float
    malformed: Mapping[str, int]
    """Answers by class over all queries."""


def run_cost(path: Path) -> RunCost | None:
    """The cost of the run in ``path``; None where it has no trace."""
    found = trace_of(path) or ()
    records = [record for record in found if record.keys() >= _COUNTED]
    if not records:
        return None
    seconds = [float(record["seconds"]) for record in records]
    malformed: Counter[str] = Counter()
    for record in records:
        malformed.update(record["malformed"])
    return RunCost(
        calls_per_query=fmean(record["calls"] for record in records),
        tokens_per_query=fmean(r["prompt_tokens"] + r["generated_tokens"] for r in records),
        seconds_p50=percentile(seconds, 0.5),
        seconds_p95=percentile(seconds, 0.95),
        malformed=dict(malformed),
    )


def cost_table(costs: Mapping[str, RunCost]) -> list[list[str]]:
    """Header and one row per run."""
    head = ["run", "calls/query", "tokens/query", "p50 s", "p95 s", "answers"]
    return [head, *([name, *cost_cells(cost)] for name, cost in costs.items())]


def cost_cells(cost: RunCost) -> list[str]:
    """The figures of one run as text."""
    return [
        f"{cost.calls_per_query:.1f}",
        f"{cost.tokens_per_query:,.0f}",
        f"{cost.seconds_p50:.3g}",
        f"{cost.seconds_p95:.3g}",
        ", ".join(f"{count} {name}" for name, count in cost.malformed.items()),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)]
