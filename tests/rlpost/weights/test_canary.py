"""The canary: agreement passes, a stale or wrong engine stops the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from rlpost.errors import TrainingError
from rlpost.weights.canary import MOVED, CanaryReport, check_policy

TOLERANCE = 1e-3


@dataclass
class Says:
    """A scorer whose answer is known."""

    scores_T: tuple[float, ...]

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        return list(self.scores_T)


def run(
    engine_T: tuple[float, ...],
    learner_T: tuple[float, ...],
    previous: CanaryReport | None = None,
    alone_T: tuple[float, ...] = (),
) -> CanaryReport:
    return check_policy(
        Says(engine_T),
        Says(learner_T),
        [1, 2],
        [3, 4],
        tolerance=TOLERANCE,
        previous=previous,
        alone_T=alone_T,
    )


def test_report_holds_the_largest_gap() -> None:
    report = run((-1.0, -2.0), (-1.0002, -2.0005))
    assert report.gap == pytest.approx(5e-4)
    assert report.engine_T == (-1.0, -2.0)
    assert report.learner_T == (-1.0002, -2.0005)


def test_a_gap_beyond_the_tolerance_stops_the_run() -> None:
    with pytest.raises(TrainingError, match=r"differ by 0\.002"):
        run((-1.0, -2.0), (-1.0, -2.002))


@pytest.mark.parametrize(
    ("engine_T", "learner_T"),
    [
        ((math.nan, -2.0), (-1.0, -2.0)),
        ((-1.0, math.nan), (-1.0, -2.0)),
        ((-1.0, -2.0), (-1.0, math.nan)),
        ((-math.inf, -2.0), (-1.0, -2.0)),
        ((-math.inf, -2.0), (-math.inf, -2.0)),
    ],
)
def test_scores_that_are_not_finite_stop_the_run(
    engine_T: tuple[float, ...], learner_T: tuple[float, ...]
) -> None:
    with pytest.raises(TrainingError):
        run(engine_T, learner_T)


def test_an_engine_that_stood_still_while_the_learner_moved_stops_the_run() -> None:
    before = run((-1.0, -2.0), (-1.0, -2.0))
    # Still within the tolerance: only the comparison with the previous report can tell.
    step = 2 * MOVED * TOLERANCE
    with pytest.raises(TrainingError, match="previous policy"):
        run((-1.0, -2.0), (-1.0, -2.0 - step), previous=before)


def test_both_standing_still_is_fine() -> None:
    before = run((-1.0, -2.0), (-1.0, -2.0))
    run((-1.0, -2.0), (-1.0, -2.0), previous=before)


def test_both_moving_is_fine() -> None:
    before = run((-1.0, -2.0), (-1.0, -2.0))
    run((-1.5, -2.0), (-1.5, -2.0), previous=before)


def test_a_learner_whose_batches_change_a_sequence_is_named() -> None:
    """The publication is not blamed, whether or not the engine agrees with one of the two."""
    for engine_T in ((-1.0, -2.0), (-1.0, -2.5)):
        with pytest.raises(TrainingError, match=r"learner differs from itself by 0\.5 nats"):
            run(engine_T, (-1.0, -2.5), alone_T=(-1.0, -2.0))
    with pytest.raises(TrainingError, match="differs from itself by nan"):
        run((-1.0, -2.0), (-1.0, math.nan), alone_T=(-1.0, -2.0))


def test_an_engine_that_disagrees_with_the_plain_model_too_is_named() -> None:
    with pytest.raises(TrainingError, match="learner agrees with transformers on the sequence"):
        run((-1.0, -2.5), (-1.0, -2.0), alone_T=(-1.0, -2.0))
    before = run((-1.0, -2.0), (-1.0, -2.0), alone_T=(-1.0, -2.0))
    with pytest.raises(TrainingError, match=r"did not reach the engine as they are$"):
        run((-1.0, -2.5), (-1.0, -2.0), previous=before, alone_T=(-1.0, -2.0))
