"""The controller of the entropy bonus, by hand and against TRL's rule."""

import math

import pytest

from rlpost.objective.entropy import AdaptiveBonus, FixedBonus

SETTINGS = {"target": 0.5, "delta": 0.1, "initial": 0.0, "low": 0.0, "high": 0.25}


def test_the_adaptive_coefficient_by_hand() -> None:
    """TRL's order: the last step's coefficient, gated by the last step's entropy."""
    bonus = AdaptiveBonus(**SETTINGS)
    assert bonus.coefficient == 0
    applied = []
    for entropy in (0.4, 0.5, 0.3, 0.6, 0.7, 0.2):
        bonus.measured(entropy)
        applied.append(bonus.coefficient)
    assert applied == pytest.approx([0.1, 0.2, 0.25, 0.0, 0.0, 0.15])


def test_it_goes_on_after_a_restart() -> None:
    first, second = AdaptiveBonus(**SETTINGS), AdaptiveBonus(**SETTINGS)
    for entropy in (0.4, 0.4, 0.6):
        first.measured(entropy)
    second.restore(first.state())
    for bonus in (first, second):
        bonus.measured(0.1)
    assert second.coefficient == first.coefficient == pytest.approx(0.2)
    fresh = AdaptiveBonus(**SETTINGS)
    assert fresh.state()["last"] == math.inf


def test_the_fixed_coefficient_stays() -> None:
    bonus = FixedBonus(coefficient=0.01)
    bonus.measured(0.0)
    assert bonus.coefficient == 0.01
