"""Whose probability the updates raised, by how likely a good completion was among its siblings."""

from __future__ import annotations

from collections.abc import Sequence

from rankers.files.jsonl import Record
from rankers.report import svg
from rlpost.diagnostics.uplift import pooled
from rlpost.report.curves import CurveChart

TITLE = "Uplift by likelihood rank"


def uplift_chart(steps: Sequence[Record]) -> CurveChart | None:
    """Rates over all recorded steps with 95% intervals; None for a run that recorded none."""
    from scipy.stats import binomtest

    total = pooled(steps)
    if total is None or not any(total.counted_B):
        return None
    bins = range(1, len(total.counted_B) + 1)
    pairs = zip(bins, total.raised_B, total.counted_B, strict=True)
    found = [(bin_, raised, counted) for bin_, raised, counted in pairs if counted]
    rates = [raised / counted for _, raised, counted in found]
    intervals = [binomtest(r, n).proportion_ci(method="wilson") for _, r, n in found]
    low = [max(0.0, rate - ci.low) for rate, ci in zip(rates, intervals, strict=True)]
    high = [max(0.0, ci.high - rate) for rate, ci in zip(rates, intervals, strict=True)]
    axes = svg.axes(4.1, 2.25)
    axes.axhline(0.5, color=svg.GRID, linewidth=0.8)
    axes.errorbar(
        [bin_ for bin_, _, _ in found],
        rates,
        yerr=(low, high),
        color=svg.LINE,
        marker="o",
        capsize=2,
    )
    axes.set_xlabel("place among siblings, 1 the likeliest")
    axes.set_xticks(list(bins))
    axes.set_ylim(0, 1.05)
    axes.grid(axis="y")
    return CurveChart(
        title=TITLE,
        latest="",
        meaning=(
            f"share of {sum(total.counted_B)} completions better than their group's mean that a "
            "step made more likely"
        ),
        svg=svg.inline(axes, label=TITLE),
    )
