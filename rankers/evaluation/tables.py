"""A scoreboard as a table on the terminal, Markdown, JSON and per-query CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console

from rankers.evaluation.scoreboard import COUNTED, POLICY, Scoreboard
from rankers.files.atomic import write_text
from rankers.report.tables import print_table
from rankers.report.text import markdown


def rows(board: Scoreboard) -> list[list[str]]:
    """Header and rows of the table of means; the first measure is compared with the baseline."""
    first = board.request.measures[0]
    head = ["run", *board.request.measures, "difference", "p t", "p rand", "W/T/L"]
    return [head, *(_row(board, name, first) for name in board.runs)]


def _row(board: Scoreboard, name: str, first: str) -> list[str]:
    means = [f"{board.runs[name].mean[measure]:.4f}" for measure in board.request.measures]
    if name == board.baseline:
        return [name, *means, "", "", "", ""]
    row = board.differences[name, first]
    low, high = row.found.ci95
    return [
        name,
        *means,
        f"{row.found.mean:+.4f} [{low:+.3f}, {high:+.3f}]",
        f"{row.p_t_corrected:.2g}",
        f"{row.p_randomised_corrected:.2g}",
        f"{row.found.wins}/{row.found.ties}/{row.found.losses}",
    ]


def captions(board: Scoreboard) -> list[str]:
    """What the table means, then notes about single runs."""
    several = f", {board.request.correction}-corrected over runs" if len(board.runs) > 2 else ""
    tests = (
        f"Difference from {board.baseline} in {board.request.measures[0]} with its 95% "
        "bootstrap interval; p of the paired t-test and of the "
        f"randomisation test{several}; wins, ties and losses by query."
    )
    counted = f"{COUNTED[board.request.queries]} {POLICY}"
    return [*([tests] if len(board.runs) > 1 else []), counted, *board.notes]


def show(board: Scoreboard) -> None:
    """The table on the terminal."""
    title = (
        f"{board.collection.name} ({board.request.split}), {len(board.collection.qrels)} queries"
    )
    print_table(Console(highlight=False), title, rows(board), captions(board))


def write_markdown(board: Scoreboard, path: Path) -> None:
    """The table as Markdown, with what it means."""
    write_text(path, markdown(rows(board)) + "".join(f"\n{line}\n" for line in captions(board)))


def write_per_query(board: Scoreboard, path: Path) -> None:
    """CSV: one line per query and measure, one column per run, all digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["query", "measure", *board.runs])
    for query_id in board.collection.qrels:
        for measure in board.request.measures:
            values = [repr(run.per_query[measure][query_id]) for run in board.runs.values()]
            writer.writerow([query_id, measure, *values])
    write_text(path, buffer.getvalue())
