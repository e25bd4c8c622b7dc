"""Held-out evaluation: greedy answers -> a TREC run -> measures, before against after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.measures import Evaluation, evaluate
from rankers.significance import compare
from rankers.trec import read_run, write_run
from rankers.types import Run
from rlpost.summary import Delta
from rlpost.tasks.task import HeldOut
from rlpost.types import Completion, Sampling

FOLDER = "eval"
PROMPTS_PER_CALL = 64


def greedy(max_tokens: int) -> Sampling:
    """How answers are drawn for a measurement."""
    return Sampling(temperature=0.0, max_tokens=max_tokens)


def run_of(held_out: HeldOut, completions_P_1: Sequence[Sequence[Completion]]) -> Run:
    """The rankings that one completion per prompt stands for."""
    return {
        prompt.id: held_out.rank(prompt, completions[0])
        for prompt, completions in zip(held_out.prompts, completions_P_1, strict=True)
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
    """The measures over all held-out queries; a query without a prompt counts 0."""
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
    baselines = {
        name: measure(run, held_out, measures).mean for name, run in held_out.baselines.items()
    }
    delta = {}
    for name in measures:
        found = compare(
            first.per_query[name], second.per_query[name], resamples=resamples, seed=seed
        )
        delta[name] = Delta(mean=found.mean, ci95=found.ci95, p=found.p)
    return Comparison(before=first.mean, after=second.mean, delta=delta, baselines=baselines)
