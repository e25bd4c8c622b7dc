"""The command `rlpost robustness`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rlpost.cli_rerank import Backend, opt, parsed
from rlpost.errors import UserError

if TYPE_CHECKING:
    from rankers.reranker import Problem
    from rankers.types import Qrels


def robustness(
    method: Annotated[str, opt("As of `rlpost rerank`")],
    model: Annotated[str, opt("As of `rlpost rerank`")],
    dataset: Annotated[str, opt("Collection that has the texts")],
    run: Annotated[Path, opt("TREC run to rerank")],
    split: Annotated[str, opt("Split of the collection")] = "test",
    depth: Annotated[int, opt("Passages of each query", min=2)] = 20,
    limit: Annotated[int, opt("Only the first so many queries", min=2)] = 50,
    also: Annotated[
        list[str] | None, opt("Another collection with a run, as DATASET=RUN; repeat for more")
    ] = None,
    measure: Annotated[str, opt("Measure of ir_measures")] = "nDCG@10",
    shuffles: Annotated[int, opt("Shuffled input orders", min=1)] = 5,
    repeats: Annotated[int, opt("Times that the same input is ranked again", min=1)] = 1,
    seed: Annotated[int, opt("Of shuffles, typos and methods that shuffle")] = 0,
    backend: Annotated[Backend | None, opt("As of `rlpost rerank`")] = None,
    template: Annotated[str | None, opt("As of `rlpost rerank`")] = None,
    option: Annotated[list[str] | None, opt("Another option of the method: window=10 ...")] = None,
    at_once: Annotated[int, opt("Queries ranked together", min=1)] = 32,
    json_to: Annotated[str | None, opt("Write JSON to a file, or - for output", "--json")] = None,
    html: Annotated[Path | None, opt("Write a page")] = None,
) -> None:
    """Rank again with other input orders, typos and hostile passages: what changes?"""
    from rich.console import Console

    from rankers.build import RerankerSpec, build
    from rankers.datasets import load_collection
    from rankers.schedules import lockstep
    from rlpost.comparison.output import write_json
    from rlpost.provenance import provenance
    from rlpost.reranking.run import located
    from rlpost.robustness import output
    from rlpost.robustness.measure import measure_robustness

    console = Console(stderr=True, highlight=False)
    problems, qrels = _problems(dataset, split, run, depth, limit)
    others = {
        name: _problems(name, "test", Path(path), depth, limit)
        for name, path in map(_pair, also or [])
    }
    spec = RerankerSpec(
        method=method,
        model=located(model, backend, {}, None),
        backend=backend,
        template=template,
        options={"seed": seed, **parsed(option or [])},
        depth=depth,
    )
    built = build(spec)
    report = measure_robustness(
        lambda wanted: [r for _, r in lockstep(built.reranker, wanted, at_once=at_once)],
        problems,
        qrels,
        measure=measure,
        shuffles=shuffles,
        repeats=repeats,
        seed=seed,
        others=others,
        on_progress=lambda text: console.print(text, markup=False),
    )
    origin = provenance(
        collection=load_collection(dataset, split, unknown_docs="keep"), runs={run.name: run}
    )
    origin |= {"seed": seed, "temperature": 0.0, "reranker": built.reranker.name, "model": model}
    if json_to != "-":
        output.show(report)
    if json_to is not None:
        write_json(report.as_json() | {"provenance": origin}, json_to)
    if html is not None:
        lines = [f"{name}: {value}" for name, value in origin.items()]
        title = f"Robustness of {built.reranker.name} on {Path(dataset).name}"
        output.write_report(report, html, title=title, origin=lines)


def _problems(
    dataset: str, split: str, run: Path, depth: int, limit: int
) -> tuple[list[Problem], Qrels]:
    from rankers.datasets import load_collection
    from rlpost.reranking.problems import read_problems

    found = read_problems(dataset=dataset, split=split, run=run, depth=depth)
    problems = [found.problem(query_id) for query_id in list(found.query_ids)[:limit]]
    return problems, load_collection(dataset, split, unknown_docs="keep").qrels


def _pair(text: str) -> tuple[str, str]:
    dataset, equals, run = text.partition("=")
    if not equals:
        raise UserError(f"--also {text!r} must be DATASET=RUN")
    return dataset, run
