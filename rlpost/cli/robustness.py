"""The command `rlpost robustness`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from rankers.errors import UserError
from rlpost.cli.options import BackendOption, opt, parsed


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
    backend: Annotated[BackendOption | None, opt("As of `rlpost rerank`")] = None,
    template: Annotated[str | None, opt("As of `rlpost rerank`")] = None,
    option: Annotated[list[str] | None, opt("Another option of the method: window=10 ...")] = None,
    at_once: Annotated[int, opt("Queries ranked together", min=1)] = 32,
    json_to: Annotated[str | None, opt("Write JSON to a file, or - for output", "--json")] = None,
    html: Annotated[Path | None, opt("Write a page")] = None,
) -> None:
    """Rank again with other input orders, typos and hostile passages: what changes?"""
    from rankers.methods.by_name import RerankerSpec
    from rankers.robustness.run import RobustnessJob, run_robustness_job
    from rlpost.serving.model_spec import located

    spec = RerankerSpec(
        method=method,
        model=located(model, backend, {}, None),
        backend=backend,
        template=template,
        options={"seed": seed, **parsed(option or [])},
        depth=depth,
    )
    job = RobustnessJob(
        spec=spec, dataset=dataset, run=run, split=split, limit=limit, measure=measure
    )
    others = tuple(map(_pair, also or []))
    job = replace(job, also=others, shuffles=shuffles, repeats=repeats, seed=seed, at_once=at_once)
    run_robustness_job(job, json_to=json_to, html=html)


def _pair(text: str) -> tuple[str, str]:
    dataset, equals, run = text.partition("=")
    if not equals:
        raise UserError(f"--also {text!r} must be DATASET=RUN")
    return dataset, run
