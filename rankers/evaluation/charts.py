"""Figures of a comparison: who gained on which query, by depth, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rankers.evaluation.measures import evaluate
from rankers.evaluation.run_cost import RunCost
from rankers.evaluation.scoreboard import Scoreboard
from rankers.report import svg
from rankers.report.page import PageChart
from rankers.report.tables import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (svg.LINE, svg.SECOND, svg.REWARD, svg.SYNC, svg.OTHER)
DASHES = ("-", "--", ":")
"""With more runs than colours, the next style of line."""
DEPTHS = (1, 3, 5, 10, 20, 50, 100)
BY_DEPTH = ("nDCG", "R")
MAX_BARS = 400
LONGEST = 36
"""Letters of a name in a legend; the middle of a longer one is left out."""


def deltas(board: Scoreboard) -> list[PageChart]:
    """Per-query differences from the baseline, sorted, one chart per run."""
    measure = board.request.measures[0]
    baseline = board.runs[board.baseline].per_query[measure]
    charts = []
    for name in board.runs:
        if name == board.baseline:
            continue
        values = board.runs[name].per_query[measure]
        differences = sorted((values[q] - baseline[q] for q in baseline), reverse=True)
        row = board.differences[name, measure].found
        charts.append(
            PageChart(
                title=f"{name} - {board.baseline}: {measure} by query",
                svg=_bars(differences, f"{measure} of {name} minus {board.baseline}, by query"),
                note=f"{row.wins} better, {row.ties} equal, {row.losses} worse; "
                f"mean {row.mean:+.4f}.",
            )
        )
    return charts


def by_depth(board: Scoreboard) -> list[PageChart]:
    """nDCG and recall as lists grow."""
    deepest = max(len(docs) for run in board.rankings.values() for docs in run.values())
    depths = [k for k in DEPTHS if k <= max(deepest, DEPTHS[0])]
    charts = []
    for measure in BY_DEPTH:
        names = [f"{measure}@{k}" for k in depths]
        curves = {
            run: list(evaluate(ranking, board.collection.qrels, names).mean.values())
            for run, ranking in board.rankings.items()
        }
        charts.append(
            PageChart(
                title=f"{measure}@k by depth k",
                svg=_lines(depths, curves, f"{measure} at depths {depths[0]} to {depths[-1]}"),
            )
        )
    return charts


def cost_against_quality(board: Scoreboard, costs: Mapping[str, RunCost]) -> list[PageChart]:
    """One point per run that has a trace; runs without one are a line at their quality."""
    measure = board.request.measures[0]
    units = {
        "tokens per query": {n: c.tokens_per_query for n, c in costs.items() if c.tokens_per_query},
        "seconds per query": {n: c.seconds_p50 for n, c in costs.items() if c.seconds_p50},
    }
    charts = []
    for unit, values in units.items():
        if not values:
            continue
        points = {name: (x, board.runs[name].mean[measure]) for name, x in values.items()}
        free = {n: run.mean[measure] for n, run in board.runs.items() if n not in costs}
        charts.append(
            PageChart(
                title=f"{measure} against {unit}",
                svg=_points(points, free, list(board.runs), f"{measure} against {unit}"),
                note="Dashed: runs without a trace of what they cost.",
            )
        )
    return charts


def _bars(values: Sequence[float], label: str) -> str:
    axes = svg.axes(4.6, 2.3)
    shown = values[:: -(-len(values) // MAX_BARS)]
    colours = [svg.LINE if value > 0 else svg.SECOND for value in shown]
    axes.bar(range(len(shown)), shown, width=1.0, color=colours)
    axes.axhline(0, color=svg.MUTED, linewidth=0.8)
    axes.set_xticks([])
    axes.grid(axis="y")
    axes.margins(x=0.01)
    return svg.inline(axes, label=label)


def _lines(xs: Sequence[int], curves: Mapping[str, Sequence[float]], label: str) -> str:
    axes = svg.axes(4.6, 2.6)
    labels = _labels(list(curves))
    for i, (name, ys) in enumerate(curves.items()):
        style = DASHES[i // len(COLOURS) % len(DASHES)]
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(
            range(len(xs)),
            ys,
            style,
            color=colour,
            linewidth=1.6,
            marker="o",
            markersize=3,
            label=labels[name],
        )
    axes.set_xticks(range(len(xs)), [str(x) for x in xs])
    _finish(axes)
    return svg.inline(axes, label=label)


def _points(
    points: Mapping[str, tuple[float, float]],
    free: Mapping[str, float],
    runs: Sequence[str],
    label: str,
) -> str:
    axes = svg.axes(4.6, 2.6)
    labels = _labels(runs)
    for name, (x, y) in points.items():
        colour = COLOURS[runs.index(name) % len(COLOURS)]
        axes.plot([x], [y], "o", color=colour, markersize=7, label=labels[name])
    for i, (name, y) in enumerate(free.items()):
        style = DASHES[1 + i % 2]
        axes.axhline(y, linestyle=style, color=svg.OTHER, linewidth=1.2, label=labels[name])
    xs = [x for x, _ in points.values()]
    if max(xs) > 20 * min(xs):
        axes.set_xscale("log")
    axes.margins(x=0.15, y=0.15)
    _finish(axes)
    return svg.inline(axes, label=label)


def _finish(axes: Axes) -> None:
    """The legend shows names as they are: a dollar sign opens no formula, an underscore hides
    nothing."""
    handles, names = axes.get_legend_handles_labels()
    legend = axes.legend(handles, names, loc="best", frameon=False, labelcolor=svg.MUTED)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.grid(axis="y")


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Name -> its label in a legend: short, one of its own, and none that Matplotlib hides."""
    labels: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        text = printable(name)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]}...{text[-(LONGEST // 2) :]}"
        text = f"{text} ({number})" if text in labels.values() else text
        labels[name] = f"\u200b{text}" if text.startswith("_") else text
    return labels
