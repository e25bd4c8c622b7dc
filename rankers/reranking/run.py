"""Reranks a run file query by query, writing down what is finished, and the result at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rankers.datasets.load import IdenticalIds
from rankers.errors import UserError
from rankers.files.atomic import write_lines
from rankers.files.jsonl import damage_sentence
from rankers.files.trace_name import trace_path
from rankers.files.trec import write_run
from rankers.methods.by_name import Built, RerankerSpec, build_reranker, decide
from rankers.reranker.reranker import Problem
from rankers.reranker.schedules import concurrently, lockstep
from rankers.reranking.cost import Cost
from rankers.reranking.problems import RankingProblems, digest, is_jsonl, read_problems
from rankers.reranking.trace_file import TraceFile, owner
from rankers.types import Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankJob:
    """One `rlpost rerank`."""

    spec: RerankerSpec
    run: Path
    out: Path
    dataset: str | None = None
    split: str = "test"
    identical_ids: IdenticalIds = "auto"
    queries: Literal["all", "judged"] = "all"
    """Those of the run that the collection has, or of them those that the split judges."""
    limit: int | None = None
    resume: bool = False
    overwrite: bool = False
    strict: bool = False
    at_once: int = 32

    @property
    def trace_path(self) -> Path:
        """``x.trec`` -> ``x.trace.jsonl``."""
        return trace_path(self.out)

    def settings(self) -> dict[str, object]:
        """What a ranking depends on: a run resumed under other settings would mix two."""
        model = asdict(self.spec.model)
        endpoint = model.pop("endpoint")
        shown = {
            **asdict(self.spec),
            "model": model.pop("name"),
            **model,
            "base_url": endpoint.get("base_url"),
            "options": dict(self.spec.options),
            "dataset": self.dataset,
            "split": self.split,
            "identical_ids": self.identical_ids,
            "run": digest(self.run),
        }
        loaded: dict[str, object] = json.loads(json.dumps(shown, default=str))
        return loaded


def run_rerank_job(job: RerankJob) -> None:
    """Rerank, show progress and cost on standard error; Ctrl-C exits with 130, resumable."""
    console = Console(stderr=True, highlight=False)
    try:
        cost = rerank(job, console)
    except KeyboardInterrupt:
        console.print("interrupted: go on with --resume")
        raise SystemExit(130) from None
    cost.show(console)
    console.print(f"wrote {job.out}", markup=False)


def rerank(job: RerankJob, console: Console) -> Cost:
    """Do the job; on return ``job.out`` is complete. Until then its trace grows, query by query.

    Raises UserError or DataError, one sentence, for bad input; BackendError where the engine fails
    (``strict``: on any question).
    """
    problems = read_problems(
        dataset=job.dataset,
        split=job.split,
        run=job.run,
        depth=job.spec.depth,
        identical_ids=job.identical_ids,
        queries=job.queries,
        say=lambda text: console.print(text, markup=False, soft_wrap=True),
    )
    _clear_target(job)
    trace = TraceFile(job.trace_path, job.settings(), out=job.out.name)
    if trace.damaged:
        console.print(
            f"{damage_sentence({job.trace_path.name: trace.damaged})}: ranked again", markup=False
        )
    wanted = list(problems.query_ids)[: job.limit]
    todo = [query_id for query_id in wanted if query_id not in trace.finished]
    cost = Cost(resumed=len(wanted) - len(todo))
    if todo:
        console.print(f"loading {job.spec.model.name}", markup=False)
        built = build_reranker(job.spec)
        console.print(_decisions(built), markup=False)
        started = time.perf_counter()
        with _bar(console) as bar:
            task = bar.add_task("", total=len(wanted), completed=cost.resumed, calls=0)
            for problem, ranking in _rankings(job, built, problems, todo):
                trace.add(problem, ranking)
                cost.add(ranking.trace)
                bar.update(task, advance=1, calls=cost.total.calls)
        cost.seconds = time.perf_counter() - started
    _write(job, problems, wanted, trace)
    return cost


def _clear_target(job: RerankJob) -> None:
    """Nothing is removed before all that can be checked without the model is."""
    if job.run.resolve() in (job.out.resolve(), job.trace_path.resolve()):
        raise UserError(f"--out {job.out} would write over the run to rerank: choose another name")
    if job.out.is_dir():
        raise UserError(f"--out {job.out} is a folder: give the name of a file")
    decide(job.spec)
    existing = [path for path in (job.out, job.trace_path) if path.exists()]
    belongs_to = owner(job.trace_path)
    if belongs_to not in ("", job.out.name):
        raise UserError(
            f"{job.trace_path} is the trace of {belongs_to}: choose an --out of another name"
        )
    if existing and not job.resume and not job.overwrite:
        raise UserError(
            f"{existing[0]} is there already: go on with --resume, or start over with --overwrite"
        )
    if job.overwrite:
        for path in existing:
            path.unlink()


def _rankings(
    job: RerankJob, built: Built, problems: RankingProblems, todo: list[str]
) -> Iterator[tuple[Problem, Ranking]]:
    schedule = concurrently if built.backend == "openai" else lockstep
    stream = (problems.problem(query_id) for query_id in todo)
    return schedule(built.reranker, stream, at_once=job.at_once, strict=job.strict)


def _decisions(built: Built) -> str:
    cut = f", passages cut to {built.passage_tokens} tokens" if built.passage_tokens else ""
    asked = "".join(
        f", {role} prompt {prompt!r}" for role, prompt in built.prompts._asdict().items() if prompt
    )
    return f"{built.reranker.name} on {built.backend}, template {built.template}{cut}{asked}"


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("queries, {task.fields[calls]} calls"),
        TimeRemainingColumn(),
        console=console,
    )


def _write(job: RerankJob, problems: RankingProblems, wanted: list[str], trace: TraceFile) -> None:
    if not is_jsonl(job.out):
        run = {query_id: trace.finished[query_id] for query_id in wanted}
        write_run(job.out, run, tag=job.spec.method)
        return
    lines = []
    for query_id in wanted:
        query, passages = problems.problem(query_id)
        place = {passage.id: index for index, passage in enumerate(passages)}
        ranking = [
            {"index": place[doc.id], "id": doc.id, "score": doc.score}
            for doc in trace.finished[query_id]
        ]
        lines.append(json.dumps({"id": query_id, "query": query.text, "ranking": ranking}))
    write_lines(job.out, lines)
