"""The canary: after each publish, engine and learner must give a fixed sequence the same scores.

It catches what loads "successfully" and is wrong: an adapter whose names match nothing, a stale
copy of the weights, a sampler that went on with the previous policy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rlpost.errors import TrainingError

MOVED = 0.05
"""The learner has moved when a score changed by more than this part of the tolerance; a smaller
change may be lost in the engine's rounding."""


class Scorer(Protocol):
    """The part of an engine or learner that the canary needs."""

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """Log-probability (temperature 1) of each completion token under the current weights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryReport:
    """What both sides said about the fixed sequence."""

    engine_T: tuple[float, ...]
    learner_T: tuple[float, ...]
    """In a batch, as it trains."""

    @property
    def gap(self) -> float:
        """Largest difference of a token's log-probability, in nats; NaN when a score is."""
        return _distance(self.engine_T, self.learner_T)


def check_policy(
    engine: Scorer,
    learner: Scorer,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    *,
    tolerance: float,
    previous: CanaryReport | None,
    alone_T: Sequence[float] = (),
) -> CanaryReport:
    """Compare the two under the policy just published; ``previous`` reports on the one before.

    ``alone_T`` is what the plain model says to the sequence alone, where the learner knows. Raises
    TrainingError when any two differ by more than ``tolerance`` nats on any token, or when the
    engine's scores have not changed at all although the learner's have.
    """
    report = CanaryReport(
        engine_T=tuple(engine.score(prompt_ids, completion_ids)),
        learner_T=tuple(learner.score(prompt_ids, completion_ids)),
    )
    _check_batch(report, tuple(alone_T), tolerance)
    # Written so that a NaN fails too.
    if not report.gap <= tolerance:
        raise TrainingError(
            f"canary: engine and learner differ by {report.gap:.3g} nats on a fixed sequence, more "
            f"than {tolerance:.3g}: {_cause(previous, knows_alone=bool(alone_T))}"
        )
    if previous is not None and report.engine_T == previous.engine_T:
        moved = _distance(report.learner_T, previous.learner_T)
        if moved > MOVED * tolerance:
            raise TrainingError(
                f"canary: the learner's scores of a fixed sequence moved by {moved:.3g} nats and "
                "the engine's by nothing: the engine still samples from the previous policy"
            )
    return report


def _check_batch(report: CanaryReport, alone_T: tuple[float, ...], tolerance: float) -> None:
    """Whether the learner's own batches change a sequence: then no publication is at fault."""
    if not alone_T:
        return
    gap = _distance(report.learner_T, alone_T)
    if not gap <= tolerance:
        raise TrainingError(
            f"canary: the learner differs from itself by {gap:.3g} nats on a fixed sequence, in a "
            f"batch as it trains against the sequence alone, more than {tolerance:.3g} (the engine "
            f"from the sequence alone by {_distance(report.engine_T, alone_T):.3g}): its batches "
            "change what the model computes, and the published weights are not at fault"
        )


def _cause(previous: CanaryReport | None, *, knows_alone: bool) -> str:
    if previous is not None or not knows_alone:
        return "the published weights did not reach the engine as they are"
    # The first adapter of a new run changes nothing.
    return (
        "the learner agrees with transformers on the sequence alone, so that either the published "
        "weights did not reach the engine as they are, or it computes this model in another way"
    )


def _distance(a_T: Sequence[float], b_T: Sequence[float]) -> float:
    gaps_T = [abs(a - b) for a, b in zip(a_T, b_T, strict=True)]
    # max() drops a NaN that is not first; a sum does not.
    return math.nan if math.isnan(sum(gaps_T)) else max(gaps_T, default=0.0)
