"""Curves over training steps, with the uncertainty that was logged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from rankers.files.jsonl import Record
from rankers.report import svg
from rlpost.tracking.metrics import metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONG_RUN = 20
"""From this many steps on, the raw series is faint and its moving mean is drawn over it."""
MAX_POINTS = 1000
"""A longer series is drawn at every n-th step, which the eye cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One chart: up to two metrics, and the metric that holds the first one's standard error."""

    title: str
    metrics: tuple[str, ...]
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveChart:
    """A chart as the page shows it."""

    title: str
    latest: str
    meaning: str
    svg: str


CURVES = (
    Curve(title="Reward", metrics=("reward/mean",), stderr="reward/stderr"),
    Curve(
        title="Training nDCG",
        metrics=("reward/part/ndcg",),
        stderr="reward/part_stderr/ndcg",
    ),
    Curve(
        title="Well-formed answers",
        metrics=("reward/part/format",),
        stderr="reward/part_stderr/format",
    ),
    Curve(title="Entropy", metrics=("entropy",)),
    Curve(title="KL from the sampling policy", metrics=("kl/behaviour",)),
    Curve(title="Gradient norm", metrics=("grad_norm",)),
    Curve(title="Lag", metrics=("staleness/mean", "staleness/max")),
    Curve(title="Completion length", metrics=("completion/length_mean",)),
    Curve(title="Clipped tokens", metrics=("clip_ratio/low", "clip_ratio/high")),
    Curve(title="Groups without credit", metrics=("frac_degenerate_groups",)),
    Curve(title="Reward of all groups tried", metrics=("sampling/reward_mean",)),
    Curve(title="Groups kept", metrics=("sampling/kept_fraction",)),
    Curve(title="Throughput", metrics=("perf/samples_per_s",)),
)
"""In the order of the page; a curve without data is left out."""


def charts(steps: Sequence[Record]) -> list[CurveChart]:
    """Every curve that ``steps`` has data for, held-out measures second."""
    first, *rest = CURVES
    curves = [first, *_held_out(steps), *rest]
    return [_chart(curve, steps) for curve in curves if _points(steps, curve.metrics[0])]


def _held_out(steps: Sequence[Record]) -> Iterator[Curve]:
    names = dict.fromkeys(name for step in steps for name in step if name.startswith("eval/"))
    for name in names:
        yield Curve(title=f"Held-out {name.removeprefix('eval/')}", metrics=(name,))


def _chart(curve: Curve, steps: Sequence[Record]) -> CurveChart:
    axes = svg.axes(4.1, 2.25)
    for name, colour in zip(curve.metrics, (svg.LINE, svg.SECOND), strict=False):
        _draw(axes, steps, name, colour)
    if curve.stderr:
        _draw_band(axes, steps, curve)
    _set_scale(axes, [value for name in curve.metrics for _, value in _points(steps, name)])
    if len(curve.metrics) > 1:
        axes.legend(loc="best", frameon=False, labelcolor=svg.MUTED)
    axes.grid(axis="y")
    axes.margins(x=0.02)
    axes.locator_params(axis="x", integer=True, nbins=6)
    _, latest = _points(steps, curve.metrics[0])[-1]
    return CurveChart(
        title=curve.title,
        latest=f"{latest:.3g}",
        meaning=metric(curve.metrics[0]).meaning,
        svg=svg.inline(axes, label=f"{curve.title} by training step"),
    )


def _draw(axes: Axes, steps: Sequence[Record], name: str, colour: str) -> None:
    points = _points(steps, name)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    label = name.rpartition("/")[2]
    if len(points) < LONG_RUN:
        axes.plot(xs, ys, color=colour, linewidth=1.6, marker="o", markersize=2.6, label=label)
        return
    shown = slice(None, None, math.ceil(len(xs) / MAX_POINTS))
    smooth = moving_mean(ys, len(ys) // 10)
    axes.plot(xs[shown], ys[shown], color=colour, linewidth=0.8, alpha=0.35)
    axes.plot(xs[shown], smooth[shown], color=colour, linewidth=1.8, label=label)


def _draw_band(axes: Axes, steps: Sequence[Record], curve: Curve) -> None:
    """Mean +- one standard error."""
    means = dict(_points(steps, curve.metrics[0]))
    errors = dict(_points(steps, curve.stderr))
    xs = [step for step in means if step in errors]
    xs = xs[:: math.ceil(len(xs) / MAX_POINTS) or 1]
    low = [means[x] - errors[x] for x in xs]
    high = [means[x] + errors[x] for x in xs]
    axes.fill_between(xs, low, high, color=svg.LINE, alpha=0.16, linewidth=0)


def _set_scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where more than outliers spread over two decades; a flat line off the edges."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if low > 0 and ordered[-1 - len(ordered) // 10] > 100 * ordered[len(ordered) // 10]:
        axes.set_yscale("log")
    elif low == high:
        axes.set_ylim(min(-0.04, 2 * low), max(1.0, 2 * low))


def _points(steps: Sequence[Record], name: str) -> list[tuple[int, float]]:
    return [(step["step"], step[name]) for step in steps if step.get(name) is not None]


def moving_mean(values: Sequence[float], width: int) -> list[float]:
    """Centred mean over ``width`` neighbours in all, fewer at the ends."""
    half = width // 2
    sums = [0.0, *accumulate(values)]
    spans = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(sums[end] - sums[start]) / (end - start) for start, end in spans]
