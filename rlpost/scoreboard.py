"""`rlpost evaluate`: TREC runs against a collection's judgements, and against one another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rankers.datasets import load_collection
from rankers.measures import Evaluation, evaluate
from rankers.significance import Comparison, compare, corrected
from rankers.trec import read_run
from rlpost.durable import write_text
from rlpost.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoreboard:
    """Some runs over the same queries; the comparisons are with the baseline."""

    dataset: str
    split: str
    measures: Sequence[str]
    baseline: str
    runs: Mapping[str, Evaluation]
    comparisons: Mapping[tuple[str, str], Comparison]
    """(run, measure) -> run against the baseline."""
    p_holm: Mapping[tuple[str, str], float]
    """Two-sided p of the paired t-test, Holm-corrected over the runs of one measure."""

    def as_json(self) -> dict[str, Any]:
        """Plain values: means by run, comparisons as rows."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "baseline": self.baseline,
            "runs": {name: dict(run.mean) for name, run in self.runs.items()},
            "comparisons": [
                {
                    "run": run,
                    "measure": measure,
                    "difference": found.mean,
                    "ci95": list(found.ci95),
                    "p_t_test": found.p,
                    "p_holm": self.p_holm[run, measure],
                    "p_randomisation": found.p_randomised,
                    "wins": found.wins,
                    "ties": found.ties,
                    "losses": found.losses,
                }
                for (run, measure), found in self.comparisons.items()
            ],
        }

    def rows(self) -> list[list[str]]:
        """Header and rows of the table that people read."""
        head = [
            "run",
            *self.measures,
            f"{self.measures[0]} vs {self.baseline}",
            "p (Holm)",
            "W/T/L",
        ]
        return [head, *(self._row(name) for name in self.runs)]

    def _row(self, name: str) -> list[str]:
        means = [f"{self.runs[name].mean[measure]:.4f}" for measure in self.measures]
        if name == self.baseline:
            return [name, *means, "", "", ""]
        found = self.comparisons[name, self.measures[0]]
        low, high = found.ci95
        return [
            name,
            *means,
            f"{found.mean:+.4f} [{low:+.4f}, {high:+.4f}]",
            f"{self.p_holm[name, self.measures[0]]:.2g}",
            f"{found.wins}/{found.ties}/{found.losses}",
        ]


def scoreboard(
    *,
    dataset: str,
    split: str,
    paths: Sequence[Path],
    baseline: str | None,
    measures: Sequence[str],
    seed: int = 0,
) -> Scoreboard:
    """Evaluate the runs in ``paths``, named by their file names; the first is the baseline unless
    another is named. Raises DataError and UserError on bad input."""
    collection = load_collection(dataset, split)
    runs = {path.stem: evaluate(read_run(path), collection.qrels, measures) for path in paths}
    if len(runs) < len(paths):
        raise UserError(f"two of the runs {[path.name for path in paths]} have the same name")
    reference = baseline or next(iter(runs))
    if reference not in runs:
        raise UserError(f"baseline {reference!r} is none of the runs {', '.join(runs)}")
    others = [name for name in runs if name != reference]
    comparisons: dict[tuple[str, str], Comparison] = {}
    p_holm: dict[tuple[str, str], float] = {}
    for measure in measures:
        values = runs[reference].per_query[measure]
        found = {name: compare(values, runs[name].per_query[measure], seed=seed) for name in others}
        adjusted = corrected([found[name].p for name in others], "holm")
        comparisons |= {(name, measure): found[name] for name in others}
        p_holm |= {(name, measure): p for name, p in zip(others, adjusted, strict=True)}
    return Scoreboard(
        dataset=collection.name,
        split=split,
        measures=tuple(measures),
        baseline=reference,
        runs=runs,
        comparisons=comparisons,
        p_holm=p_holm,
    )


def show(board: Scoreboard) -> None:
    """The table on the terminal."""
    head, *rows = board.rows()
    table = Table(*head, title=f"{board.dataset} ({board.split})")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def write_markdown(board: Scoreboard, path: Path) -> None:
    """The table as Markdown."""
    head, *rows = board.rows()
    lines = [head, ["---"] * len(head), *rows]
    write_text(path, "".join(f"| {' | '.join(line)} |\n" for line in lines))


def write_json(board: Scoreboard, path: str) -> None:
    """The plain values as JSON, into a file or, for ``-``, to standard output."""
    text = json.dumps(board.as_json(), indent=2) + "\n"
    if path == "-":
        print(text, end="")
    else:
        write_text(Path(path), text)
