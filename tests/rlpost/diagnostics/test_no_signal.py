"""When a run is said to have taught nothing, and why."""

import pytest

from rlpost.diagnostics.no_signal import why_no_signal

EQUAL = {"frac_teaching_groups": 0.0, "frac_degenerate_groups": 1.0, "reward/mean": 0.0}
UNREAD = {"frac_teaching_groups": 0.0, "frac_degenerate_groups": 0.25, "reward/mean": 0.4}
TAUGHT = {"frac_teaching_groups": 0.125, "frac_degenerate_groups": 0.875, "reward/mean": 0.1}
OLDER = {"frac_degenerate_groups": 0.5, "reward/mean": 0.1}


@pytest.mark.parametrize(
    "steps", [[], [TAUGHT], [EQUAL] * 20 + [TAUGHT] + [EQUAL] * 20, [OLDER], [EQUAL, OLDER]]
)
def test_one_teaching_group_is_enough(steps: list[dict[str, float]]) -> None:
    assert why_no_signal(steps) is None


def test_equal_rewards_are_told_with_their_value() -> None:
    sentence = why_no_signal([EQUAL] * 3)
    assert sentence is not None
    assert sentence.startswith("no group taught anything in 3 steps: the completions of each")
    assert "equal rewards (0 all the time)" in sentence
    assert "equal rewards:" in str(why_no_signal([EQUAL, EQUAL | {"reward/mean": 1.0}]))
    assert why_no_signal([{"frac_degenerate_groups": 1.0}]) is not None


def test_rewards_that_credit_makes_nothing_of_are_told_apart() -> None:
    """A part that no weight names, or masks that leave no token."""
    assert "algorithm.credit and the algorithm's masks" in str(why_no_signal([UNREAD, EQUAL]))
