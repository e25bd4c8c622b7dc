"""Held-out evaluation: greedy answers -> a TREC run -> measures, before against after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.evaluation.measures import Evaluation, evaluate
from rankers.evaluation.significance import compare
from rankers.files.trec import read_run, write_run
from rankers.types import Run
from rlpost.tasks.base import Answer, HeldOut
from rlpost.tracking.summary import Delta
from rlpost.types import Sampling

FOLDER = "eval"
PROMPTS_PER_CALL = 64


def greedy(max_tokens: int) -> Sampling:
    """How answers are drawn for a measurement."""
    return Sampling(temperature=0.0, max_tokens=max_tokens)


def run_of(held_out: HeldOut, answer: Answer) -> Run:
    """The rankings that the policy's answers stand for."""
    if held_out.rerank is not None:
        return held_out.rerank(answer)
    completions_P = answer(held_out.prompts)
    return {
        prompt.id: held_out.rank(prompt, completion)
        for prompt, completion in zip(held_out.prompts, completions_P, strict=True)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAfter:
    """What training changed on the held-out queries."""

    before: Mapping[str, float]
    after: Mapping[str, float]
    delta: Mapping[str, Delta]
    baselines: Mapping[str, Mapping[str, float]]
    margins: Mapping[str, Mapping[str, Delta]]
    """What training is ahead of each baseline."""


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


def measure_held_out(run: Run, held_out: HeldOut, measures: Sequence[str]) -> Evaluation:
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
) -> BeforeAfter:
    """Means of all rankings, and how far ``after`` is above each, paired, with its interval."""
    last = measure_held_out(after, held_out, measures)

    def gained(other: Evaluation) -> dict[str, Delta]:
        found = {
            name: compare(
                other.per_query[name], last.per_query[name], resamples=resamples, seed=seed
            )
            for name in measures
        }
        return {name: Delta(mean=d.mean, ci95=d.ci95, p=d.p) for name, d in found.items()}

    first = measure_held_out(before, held_out, measures)
    others = {
        name: measure_held_out(run, held_out, measures) for name, run in held_out.baselines.items()
    }
    return BeforeAfter(
        before=first.mean,
        after=last.mean,
        delta=gained(first),
        baselines={name: found.mean for name, found in others.items()},
        margins={name: gained(found) for name, found in others.items()},
    )
