"""Shaping: by hand, against the official code, and what it must leave alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from rankers.errors import UserError
from rlpost.credit.advantages import group_mean
from rlpost.credit.reward_transforms import (
    overlong,
    overlong_penalty,
    shaped,
    unlikeliness,
    unlikely,
)
from rlpost.types import Completion, Group, GroupKey, Prompt, Rollout, Score, Ticket
from tests.golden import golden, needs_golden


def group(rewards_G: Sequence[float], logprobs_G_T: Sequence[Sequence[float]]) -> Group:
    prompt = Prompt(id="p0", messages=(), token_ids=(1,))
    rollouts = tuple(
        Rollout(
            completion=Completion(
                token_ids=(7,) * len(logprobs_T),
                logprobs_T=tuple(logprobs_T),
                versions_T=(0,) * len(logprobs_T),
                finish="stop",
                text="",
            ),
            score=Score(total=reward, parts={"task": reward}),
        )
        for reward, logprobs_T in zip(rewards_G, logprobs_G_T, strict=True)
    )
    ticket = Ticket(index=0, key=GroupKey("run", 0, prompt.id, 0), prompt=prompt)
    return Group(ticket=ticket, rollouts=rollouts)


@needs_golden
def test_overlong_equals_trl() -> None:
    """verl's differs beyond the limit only, which no completion exceeds."""
    data = golden()["overlong"]
    ours = [overlong_penalty(n, limit=data["Lmax"], margin=data["Lcache"]) for n in data["lengths"]]
    assert ours == pytest.approx(data["trl"])
    assert ours[:-1] == pytest.approx(data["verl_factor1"][:-1])


def test_unlikeliness_by_hand() -> None:
    """The example of the released code; the paper's multipliers are beta / G lower."""
    rewards, likelihoods = [1, 1, 0, 1, 0, 1], [-0.2, -1.0, -0.5, -1.2, -0.05, -0.9]
    released = unlikeliness(rewards, likelihoods, formula="released")
    np.testing.assert_allclose(released, [5 / 6, 23 / 24, 0, 1, 0, 11 / 12])
    paper = unlikeliness(rewards, likelihoods)
    np.testing.assert_allclose(paper[[0, 1, 3, 5]], released[[0, 1, 3, 5]] - 0.25 / 6)
    assert unlikeliness([0, 1], [-1, -2]).tolist() == [0, 1 - 0.125]


@needs_golden
@pytest.mark.parametrize("beta", ["0.0", "0.25"])
@pytest.mark.parametrize("name", ["mixed", "one_correct", "all_correct"])
def test_unlikeliness_equals_the_released_code(name: str, beta: str) -> None:
    """Except where that code makes advantages of up to 1.3 out of equal rewards: ours are 0."""
    data = golden()["unlikeliness"]
    case = data["cases"][f"{name}_beta{beta}"]
    tokens = [
        [logprob for logprob, counts in zip(row, mask, strict=True) if counts]
        for row, mask in zip(data["old_log_probs"], data["mask"], strict=True)
    ]
    rewards = unlikely(
        group(case["rewards"], tokens), beta=float(beta), formula="released", likelihood="mean"
    )
    ours = group_mean([rewards], epsilon=1e-6)[0]
    theirs = np.zeros(6) if name == "all_correct" else np.array(case["adv"])[:, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@needs_golden
def test_every_golden_case_is_compared() -> None:
    cases = [f"{n}_beta{b}" for n in ("mixed", "one_correct", "all_correct") for b in (0.0, 0.25)]
    assert golden()["unlikeliness"]["cases"].keys() == set(cases)


@pytest.mark.parametrize("rewards", [[1.0] * 4, [0.0] * 4, [0.7] * 4])
def test_a_group_without_contrast_gets_none(rewards: list[float]) -> None:
    assert unlikeliness(rewards, [-1, -2, -3, -4]).tolist() == rewards


def test_equal_completions_keep_equal_rewards_and_rarer_ones_get_more() -> None:
    shaped_G = unlikeliness([1, 1, 1, 0], [-1.0, -1.0, -3.0, -9.0], beta=0.4)
    assert shaped_G[0] == shaped_G[1] < shaped_G[2]


def test_ties_first_tells_equal_completions_apart() -> None:
    shaped_G = unlikeliness([1, 1, 0], [-1, -1, -2], beta=0.3, formula="released", ties="first")
    np.testing.assert_allclose(shaped_G, [1 - 0.1, 1 - 0.2, 0])


def test_the_sum_orders_by_sequence_the_mean_by_token() -> None:
    """A long completion of likely tokens: unlikely as a sequence, likely by its mean."""
    of = group([1, 1, 0], [[-1.0], [-0.5] * 6, [-0.9]])
    rewards = {kind: list(unlikely(of, likelihood=kind)) for kind in ("sum", "mean")}
    assert rewards["sum"][1] > rewards["sum"][0]
    assert rewards["mean"][1] < rewards["mean"][0]


def test_an_empty_completion_is_the_likeliest() -> None:
    for kind in ("sum", "mean"):
        rewards = unlikely(group([1, 1, 0], [[], [-0.1], [-2.0]]), likelihood=kind)
        np.testing.assert_allclose(rewards, [0.75, 1 - 0.25 * 2 / 3, 0])


def test_negative_rewards_are_refused() -> None:
    with pytest.raises(UserError, match=r"prompt 'p0' has a reward of -1: shift"):
        unlikely(group([float("nan"), -1.0, 1.0], [[-1.0], [-1.0], [-2.0]]))


def test_transforms_apply_in_order_and_leave_parts_alone() -> None:
    of = group([1.0, 0.0], [[-1.0] * 4, [-1.0] * 3])
    (result,) = shaped([of], [unlikely, lambda g: overlong(g, limit=4, margin=2, penalty=0.5)])
    assert result.rewards_G == pytest.approx((1 - 0.25 / 2 - 0.5, -0.25))
    assert [rollout.score.parts for rollout in result.rollouts] == [{"task": 1.0}, {"task": 0.0}]


@pytest.mark.parametrize("rewards", [[0.7, 0.7], [float("nan"), 0.3]])
def test_a_group_degenerate_as_scored_stays_so(rewards: list[float]) -> None:
    """Different lengths alone must not make a group of equal answers push the policy."""
    of = group(rewards, [[-1.0] * 4, [-1.0]])
    assert shaped([of], [lambda g: overlong(g, limit=4, margin=2)]) == [of]
