"""The page of a scoreboard: table, per-query bars, curves by depth, cost against quality."""

from __future__ import annotations

from pathlib import Path

from rankers.evaluation import charts
from rankers.evaluation.run_cost import cost_table, run_cost
from rankers.evaluation.scoreboard import Scoreboard, run_name
from rankers.evaluation.tables import captions, rows
from rankers.report.page import PageSection, write_page


def write_comparison(board: Scoreboard, path: Path) -> None:
    """Write the page to ``path``."""
    found = {run_name(Path(run)): run_cost(Path(run)) for run in board.request.runs}
    costs = {name: cost for name, cost in found.items() if cost is not None}
    measure = board.request.measures[0]
    sections = [
        PageSection(title="Means and differences", table=rows(board), notes=captions(board)),
    ]
    if len(board.runs) > 1:
        sections.append(
            PageSection(
                title="Query by query",
                text=f"Differences from {board.baseline} in {measure}, best first.",
                charts=charts.deltas(board),
            )
        )
    sections.append(PageSection(title="By depth", charts=charts.by_depth(board)))
    if costs:
        sections.append(
            PageSection(
                title="Cost against quality",
                table=cost_table(costs),
                charts=charts.cost_against_quality(board, costs),
                notes=["Seconds are until a ranking stood; queries ranked together share them."],
            )
        )
    sections.append(_origin(board))
    write_page(
        path,
        title=f"{board.collection.name} ({board.request.split})",
        lead=lead(board),
        sections=sections,
    )


def lead(board: Scoreboard) -> str:
    """The outcome in one or two sentences."""
    measure = board.request.measures[0]
    best = max(board.runs, key=lambda name: board.runs[name].mean[measure])
    text = (
        f"{len(board.runs)} runs over {len(board.collection.qrels)} queries. "
        f"Best {measure}: {board.runs[best].mean[measure]:.4f} by {best}"
    )
    if best == board.baseline:
        return f"{text}, the baseline."
    row = board.differences[best, measure]
    low, high = row.found.ci95
    return (
        f"{text}, {row.found.mean:+.4f} over {board.baseline} "
        f"(95% interval {low:+.4f} to {high:+.4f}, p {row.p_t_corrected:.2g})."
    )


def _origin(board: Scoreboard) -> PageSection:
    origin = board.provenance
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    table = [
        ["", "content", "tag"],
        [board.collection.name, origin["dataset"]["content"], ""],
        *([name, run["content"], run["tag"]] for name, run in origin["runs"].items()),
    ]
    notes = [
        f"Command: {origin['command']}",
        f"Made {origin['time']}, seed {board.request.seed}, {board.request.resamples} resamples, "
        f"code {origin['git'] or 'not from a checkout'}, prompts {origin['templates']}.",
        f"Versions: {versions}.",
    ]
    return PageSection(title="Where it comes from", table=table, notes=notes)
