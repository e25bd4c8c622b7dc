"""Runs a suite and writes its results: ``results.json``, ``results.md`` and ``index.html``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console

from rankers.files.atomic import write_text
from rankers.report.page import write_page
from rankers.report.tables import print_table
from rankers.report.text import markdown, write_json
from rlpost.cli.suite import table
from rlpost.cli.suite.cell import Cell, CellResult, cells_of, run_cell
from rlpost.cli.suite.config import read_suite

Runner = Callable[[Sequence[Cell]], Iterable[CellResult]]
"""Does cells and yields outcomes as they come, in any order."""


def one_by_one(cells: Sequence[Cell]) -> Iterable[CellResult]:
    """The cells one after another in this process."""
    return map(run_cell, cells)


def run_suite(path: Path, runner: Runner = one_by_one) -> bool:
    """Do what is not done yet, write the results, show them. Whether all cells have a result."""
    suite = read_suite(path)
    cells = cells_of(suite)
    console = Console(highlight=False)
    done: dict[tuple[str, str], CellResult] = {}
    for number, outcome in enumerate(runner(cells), 1):
        cell = outcome.cell
        done[cell.collection_name, cell.system_name] = outcome
        console.print(f"{number}/{len(cells)} {_line(outcome)}", markup=False)
    outcomes = [done[cell.collection_name, cell.system_name] for cell in cells]
    standings = [table.standing(outcomes, measure) for measure in suite.measures]
    systems = list(suite.systems)
    if all(outcome.result is None for outcome in outcomes):
        console.print("no cell has a result: nothing to write", markup=False)
        return False
    write_json(table.as_json(outcomes, standings), str(suite.out / "results.json"))
    parts = []
    for found in standings:
        plain = [[str(cell) for cell in row] for row in table.rows(found, systems)]
        parts.append(f"## {found.measure}\n\n{markdown(plain)}\n")
        parts += [f"{line}\n\n" for line in table.captions(found)]
    write_text(suite.out / "results.md", "".join(parts))
    write_page(
        suite.out / "index.html",
        title=path.stem,
        lead=f"{len(systems)} systems on {len(suite.collections)} collections.",
        sections=table.sections(outcomes, standings),
    )
    first = standings[0]
    print_table(console, first.measure, table.rows(first, systems), table.captions(first))
    console.print(f"wrote {suite.out / 'index.html'}", markup=False)
    return all(outcome.result is not None for outcome in outcomes)


def _line(outcome: CellResult) -> str:
    name = f"{outcome.cell.collection_name}/{outcome.cell.system_name}"
    if outcome.result is None:
        return f"{name} failed: {outcome.error}"
    [means] = outcome.result["runs"].values()
    text = ", ".join(f"{measure} {value:.4f}" for measure, value in means.items())
    return f"{name} {text}{'' if outcome.repeated else ' (finished before)'}"
