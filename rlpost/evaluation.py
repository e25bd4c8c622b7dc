"""Held-out evaluation: greedy answers -> a TREC run -> measures, before against after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.measures import Evaluation, evaluate
from rankers.significance import compare
from rankers.trec import read_run, write_run
from rankers.types import Run, ScoredDoc
from rlpost.prepare import HeldOut
from rlpost.summary import Delta
from rlpost.tasks.rerank import candidates_of, ranked
from rlpost.types import Completion, Prompt, Sampling

FOLDER = "eval"
PROMPTS_PER_CALL = 64


def greedy(max_tokens: int) -> Sampling:
    """How answers are drawn for a measurement."""
    return Sampling(temperature=0.0, max_tokens=max_tokens)


def run_of(prompts_P: Sequence[Prompt], completions_P_1: Sequence[Sequence[Completion]]) -> Run:
    """The rankings that one completion per prompt stands for."""
    return {
        prompt.id: ranked(prompt, completions[0])
        for prompt, completions in zip(prompts_P, completions_P_1, strict=True)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What training changed on the held-out queries."""

    before: Mapping[str, float]
    after: Mapping[str, float]
    delta: Mapping[str, Delta]
    baselines: Mapping[str, Mapping[str, float]]


def save_run(run_dir: Path, name: str, run: Run) -> Path:
    """Write ``eval/{name}.trec`` in the run directory."""
    path = run_dir / FOLDER / f"{name}.trec"
    path.parent.mkdir(exist_ok=True)
    write_run(path, run, tag=name)
    return path


def saved_run(run_dir: Path, name: str) -> Run | None:
    """What ``save_run`` wrote, or None."""
    path = run_dir / FOLDER / f"{name}.trec"
    return read_run(path) if path.is_file() else None


def measure(run: Run, held_out: HeldOut, measures: Sequence[str]) -> Evaluation:
    """The measures over all held-out queries; a query without candidates counts 0."""
    return evaluate(run, held_out.qrels, measures)


def compared(
    *,
    before: Run,
    after: Run,
    held_out: HeldOut,
    measures: Sequence[str],
    resamples: int,
    seed: int,
) -> Comparison:
    """Means of both runs and their paired difference with its bootstrap interval."""
    first, second = measure(before, held_out, measures), measure(after, held_out, measures)
    shown = {prompt.id: _as_shown(prompt) for prompt in held_out.prompts}
    baselines = {
        "first stage": measure(held_out.first_stage, held_out, measures).mean,
        "shuffled": measure(shown, held_out, measures).mean,
    }
    delta = {}
    for name in measures:
        found = compare(
            first.per_query[name], second.per_query[name], resamples=resamples, seed=seed
        )
        delta[name] = Delta(mean=found.mean, ci95=found.ci95, p=found.p)
    return Comparison(before=first.mean, after=second.mean, delta=delta, baselines=baselines)


def _as_shown(prompt: Prompt) -> list[ScoredDoc]:
    doc_ids = candidates_of(prompt).doc_ids
    return [ScoredDoc(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids)]
