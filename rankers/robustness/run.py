"""`rlpost robustness` from the model's name to the written report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rankers.datasets.load import load_collection
from rankers.evaluation.measure_names import computable
from rankers.evaluation.provenance import provenance
from rankers.methods.by_name import RerankerSpec, build_reranker
from rankers.report.text import write_json
from rankers.reranker.reranker import Problem
from rankers.reranker.schedules import lockstep
from rankers.reranking.problems import read_problems
from rankers.robustness import output
from rankers.robustness.measure import measure_robustness
from rankers.types import Qrels


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessJob:
    """One `rlpost robustness`."""

    spec: RerankerSpec
    dataset: str
    run: Path
    split: str = "test"
    limit: int = 50
    """Queries, from the first of the run."""
    also: tuple[tuple[str, str], ...] = ()
    """Other collections with a run each."""
    measure: str = "nDCG@10"
    shuffles: int = 5
    repeats: int = 1
    seed: int = 0
    at_once: int = 32


def run_robustness_job(job: RobustnessJob, *, json_to: str | None, html: Path | None) -> None:
    """Measure, show, write. Raises UserError or DataError on bad input."""
    console = Console(stderr=True, highlight=False)
    computable([job.measure])

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    problems, qrels = _problems(job, job.dataset, job.split, job.run, say)
    others = {name: _problems(job, name, "test", Path(path), say) for name, path in job.also}
    reranker = build_reranker(job.spec).reranker
    report = measure_robustness(
        lambda wanted: [found for _, found in lockstep(reranker, wanted, at_once=job.at_once)],
        problems,
        qrels,
        measure=job.measure,
        shuffles=job.shuffles,
        repeats=job.repeats,
        seed=job.seed,
        others=others,
        on_progress=say,
    )
    origin = provenance(
        collection=load_collection(job.dataset, job.split, unknown_docs="keep"),
        runs={job.run.name: job.run},
    )
    model = job.spec.model.name
    origin |= {"seed": job.seed, "temperature": 0.0, "reranker": reranker.name, "model": model}
    if json_to is not None:
        write_json(report.as_json() | {"provenance": origin}, json_to)
    if html is not None:
        lines = [f"{name}: {value}" for name, value in origin.items()]
        title = f"Robustness of {reranker.name} on {Path(job.dataset).name}"
        output.write_robustness_report(report, html, title=title, origin=lines)
    if json_to != "-":
        output.show(report)


def _problems(
    job: RobustnessJob, dataset: str, split: str, run: Path, say: Callable[[str], None]
) -> tuple[list[Problem], Qrels]:
    found = read_problems(
        dataset=dataset, split=split, run=run, depth=job.spec.depth, queries="judged", say=say
    )
    problems = [found.problem(query_id) for query_id in list(found.query_ids)[: job.limit]]
    return problems, load_collection(dataset, split, unknown_docs="keep").qrels
