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

    @property
    def gap(self) -> float:
        """Largest difference of a token's log-probability, in nats; NaN when a score is."""
        return _distance(self.engine_T, self.learner_T)


def check(
    engine: Scorer,
    learner: Scorer,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    *,
    tolerance: float,
    previous: CanaryReport | None,
) -> CanaryReport:
    """Compare the two under the policy just published; ``previous`` reports on the one before.

    Raises TrainingError when they differ by more than ``tolerance`` nats on any token, or when the
    engine's scores have not changed at all although the learner's have.
    """
    report = CanaryReport(
        engine_T=tuple(engine.score(prompt_ids, completion_ids)),
        learner_T=tuple(learner.score(prompt_ids, completion_ids)),
    )
    # Written so that a NaN fails too.
    if not report.gap <= tolerance:
        raise TrainingError(
            f"canary: engine and learner differ by {report.gap:.3g} nats on a fixed sequence, more "
            f"than {tolerance:.3g}: the published weights did not reach the engine as they are"
        )
    if previous is not None and report.engine_T == previous.engine_T:
        moved = _distance(report.learner_T, previous.learner_T)
        if moved > MOVED * tolerance:
            raise TrainingError(
                f"canary: the learner's scores of a fixed sequence moved by {moved:.3g} nats and "
                "the engine's by nothing: the engine still samples from the previous policy"
            )
    return report


def _distance(a_T: Sequence[float], b_T: Sequence[float]) -> float:
    gaps_T = [abs(a - b) for a, b in zip(a_T, b_T, strict=True)]
    # max() drops a NaN that is not first; a sum does not.
    return math.nan if math.isnan(sum(gaps_T)) else max(gaps_T, default=0.0)
