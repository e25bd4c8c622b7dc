"""Shaping: by hand, against the official code, and what it must leave alone."""

import numpy as np
import pytest

from rlpost.advantages import group_mean
from rlpost.reward_shaping import overlong_penalty, unlikeliness
from tests.golden import golden, needs_golden


@needs_golden
def test_overlong_equals_trl() -> None:
    data = golden()["overlong"]
    ours = [overlong_penalty(n, limit=data["Lmax"], margin=data["Lcache"]) for n in data["lengths"]]
    assert ours == pytest.approx(data["trl"])


def test_unlikeliness_by_hand() -> None:
    """The example of the released code; the paper's multipliers are beta / G lower."""
    rewards, likelihoods = [1, 1, 0, 1, 0, 1], [-0.2, -1.0, -0.5, -1.2, -0.05, -0.9]
    released = unlikeliness(rewards, likelihoods, formula="released")
    np.testing.assert_allclose(released, [5 / 6, 23 / 24, 0, 1, 0, 11 / 12])
    paper = unlikeliness(rewards, likelihoods)
    np.testing.assert_allclose(paper[[0, 1, 3, 5]], released[[0, 1, 3, 5]] - 0.25 / 6)
    assert unlikeliness([0, 1], [-1, -2]).tolist() == [0, 1 - 0.125]


@needs_golden
@pytest.mark.parametrize("beta", [0.0, 0.25])
@pytest.mark.parametrize("name", ["mixed", "one_correct"])
def test_unlikeliness_equals_the_released_code(name: str, beta: float) -> None:
    data = golden()["unlikeliness"]
    case = data["cases"][f"{name}_beta{beta}"]
    shaped = unlikeliness(case["rewards"], data["mean_logp"], beta=beta, formula="released")
    ours = group_mean([shaped.tolist()], epsilon=1e-6)[0]
    np.testing.assert_allclose(ours, np.array(case["adv"])[:, 0], atol=1e-5)


@pytest.mark.parametrize("rewards", [[1.0] * 4, [0.0] * 4, [0.7] * 4])
def test_a_group_without_contrast_gets_none(rewards: list[float]) -> None:
    assert unlikeliness(rewards, [-1, -2, -3, -4]).tolist() == rewards


def test_equal_completions_keep_equal_rewards_and_rarer_ones_get_more() -> None:
    shaped = unlikeliness([1, 1, 1, 0], [-1.0, -1.0, -3.0, -9.0], beta=0.4)
    assert shaped[0] == shaped[1] < shaped[2]
