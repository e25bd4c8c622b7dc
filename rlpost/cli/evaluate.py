"""The command `rlpost evaluate`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from rankers.errors import UserError
from rlpost.cli.options import IdenticalIdsOption, SplitOption, UnknownDocsOption, opt

if TYPE_CHECKING:
    from rankers.evaluation.scoreboard import Request

CorrectionOption = Literal["holm", "bonferroni"]


class MeasuresCommand(TyperCommand):
    """Takes several words after ``--measures``, up to the next option or a suite's file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the words into one value first."""
        folded: list[str] = []
        joining = False
        for word in args:
            if joining and not word.startswith("-") and not word.endswith((".yaml", ".yml")):
                folded[-1] = f"{folded[-1]} {word}".strip()
                continue
            joining = word == "--measures"
            folded += [word, ""] if joining else [word]
        return super().parse_args(ctx, folded)


def evaluate(
    suite: Annotated[
        Path | None, typer.Argument(help="YAML file of a suite: systems x collections")
    ] = None,
    dataset: Annotated[str | None, opt("`pydoc`, a folder, or a name of ir_datasets")] = None,
    run: Annotated[list[str] | None, opt("TREC run; repeat to compare several")] = None,
    split: SplitOption = "test",
    baseline: Annotated[
        str | None, opt("Run to compare with, by file name; default: the first")
    ] = None,
    measures: Annotated[
        str, opt("Measures of ir_measures, such as nDCG@10 AP RR@10 'AP(rel=2)'")
    ] = "nDCG@10 RR@10",
    correction: Annotated[CorrectionOption, opt("Of p values over several runs")] = "holm",
    resamples: Annotated[int, opt("Of bootstrap and randomisation test", min=100)] = 10_000,
    seed: Annotated[int, opt("Of the resampling")] = 0,
    unknown_docs: UnknownDocsOption = "error",
    identical_ids: IdenticalIdsOption = "auto",
    queries: Annotated[
        Literal["judged", "shared"], opt("Count all judged queries, or those that all runs have")
    ] = "judged",
    json_to: Annotated[str | None, opt("Write JSON to a file, or - for output", "--json")] = None,
    markdown: Annotated[Path | None, opt("Write the table as Markdown")] = None,
    html: Annotated[Path | None, opt("Write a page with plots")] = None,
    per_query: Annotated[Path | None, opt("Write per-query values as CSV")] = None,
    reproduce: Annotated[Path | None, opt("Do again what this JSON result is of")] = None,
    workers: Annotated[int, opt("Of a suite: cells at once, on Ray from 2 on", min=1)] = 1,
) -> None:
    """Evaluate TREC runs: means, differences with intervals, significance.

    With a suite file: retrieve, rerank and evaluate every system on every collection; what is
    finished is not repeated. With --reproduce: exit 1 where a number is not the same.
    """
    if reproduce is not None:
        return _reproduce(reproduce)
    if suite is not None:
        return _suite(suite, workers)
    if dataset is None or not run:
        raise UserError("give --dataset and --run, a suite file, or --reproduce RESULT.json")
    from rankers.evaluation.measure_names import split_names
    from rankers.evaluation.scoreboard import Request

    request = Request(
        dataset=str(Path(dataset).absolute()) if Path(dataset).is_dir() else dataset,
        runs=[str(Path(one).absolute()) for one in run],
        split=split,
        measures=split_names(measures),
        baseline=baseline,
        correction=correction,
        resamples=resamples,
        seed=seed,
        unknown_docs=unknown_docs,
        identical_ids=identical_ids,
        queries=queries,
    )
    _compare(request, json_to=json_to, markdown=markdown, html=html, per_query=per_query)


def _compare(
    request: Request,
    *,
    json_to: str | None,
    markdown: Path | None,
    html: Path | None,
    per_query: Path | None,
) -> None:
    from rankers.evaluation.scoreboard import scoreboard
    from rankers.evaluation.tables import show, write_markdown, write_per_query
    from rankers.report.text import write_json

    board = scoreboard(request)
    if json_to is not None:
        write_json(board.as_json(), json_to)
    if markdown is not None:
        write_markdown(board, markdown)
    if per_query is not None:
        write_per_query(board, per_query)
    if html is not None:
        from rankers.evaluation.scoreboard_page import write_comparison

        write_comparison(board, html)
    if json_to != "-":
        show(board)


def _reproduce(path: Path) -> None:
    from rankers.evaluation.reproduce import read_result, report, reproduce

    result = read_result(path)
    if "cell" in result:
        from rlpost.cli.suite.again import reproduce_cell

        found = reproduce_cell(result)
    else:
        found = reproduce(result, path)
    print(report(found))
    if found.different:
        raise typer.Exit(1)


def _suite(path: Path, workers: int) -> None:
    from rlpost.cli.suite.run import Runner, one_by_one, run_suite

    runner: Runner = one_by_one
    if workers > 1:
        address = os.environ.get("RAY_ADDRESS")
        from workers.environment import prepare_environment

        prepare_environment(address)
        from workers.suite import run_cells

        runner = partial(run_cells, at_once=workers, address=address)
    if not run_suite(path, runner):
        raise typer.Exit(1)
