"""Credit and ratio per rank: by hand, against the official code, and what each reduces to."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from rankers.errors import UserError
from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.credit.assign import CREDIT
from rlpost.credit.rank_advantages import (
    rank_advantages,
    rank_rewards,
    ratio_lengths,
    token_advantages,
)
from rlpost.errors import RewardError
from rlpost.objective import losses
from rlpost.objective.aggregation import (
    rank_mean,
    sequence_mean,
    token_mean,
    totals_of,
    weighted_sum,
)
from rlpost.objective.kl import PENALTIES
from rlpost.tasks.recommendation.title_list import released_segments
from rlpost.types import (
    Completion,
    Group,
    GroupKey,
    ListScore,
    Prompt,
    Rollout,
    Sample,
    Score,
    Segment,
    Ticket,
)
from tests.golden import golden, needs_golden

RANK_GRPO = partial(losses.rank_grpo, low=0.06, high=0.08)


def test_rewards_by_hand() -> None:
    gains = (0.0, 1.0, 0.0, 1.0)
    assert rank_rewards(gains, decay="exp_inf") == gains
    assert rank_rewards(gains, decay="exp_gamma", gamma=2.0) == (0.625, 1.25, 0.5, 1.0)
    second, fourth = 1 / math.log2(3), 1 / math.log2(5)
    expected = (second + fourth, second + fourth, fourth, fourth)
    assert rank_rewards(gains, decay="log") == pytest.approx(expected)


@pytest.mark.parametrize("decay", ["exp_inf", "exp_gamma", "log"])
def test_an_item_is_no_credit_to_later_ranks(decay) -> None:
    with_hit = rank_rewards((0, 0, 1, 0, 1), decay=decay)
    without = rank_rewards((0, 0, 0, 0, 1), decay=decay)
    assert with_hit[3:] == without[3:]
    assert with_hit[2] > without[2]


def test_advantages_by_hand() -> None:
    advantages = rank_advantages([[1, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]], scale="none")
    assert advantages.tolist() == [
        [0.5, 0, 0.75],
        [-0.5, 0, -0.25],
        [-0.5, 0, -0.25],
        [0.5, 0, -0.25],
    ]


def test_credit_reaches_the_tokens_of_its_rank_alone() -> None:
    first = ListScore(
        gains_K=(1.0, 0.0),
        segments=(
            Segment(1, None, -1),
            Segment(2, 0),
            Segment(3, 1),
            Segment(2, 2, -1),
            Segment(1, None, 1),
        ),
    )
    second = ListScore(gains_K=(0.0, 1.0), segments=(Segment(2, 0), Segment(1, None, -1)))
    credit, other = token_advantages([first, second], scale="none", length_bonus=0.25)
    assert credit == (-0.25, 0.5, 0.5, -0.5, -0.5, -0.5, -0.25, -0.25, 0.25)
    assert other == (-0.5, -0.5, -0.25)


def test_samples_carry_the_runs_that_share_a_ratio() -> None:
    places = ListScore(gains_K=(1.0,), segments=(Segment(2, 0), Segment(1, None, 1, joins=True)))
    lists = group(places, ListScore(gains_K=(0.0,), segments=(Segment(2, 0), Segment(1, None))))
    assert [sample.segments_R for sample in CREDIT["rank"]([lists])] == [(3,), (2, 1)]
    assert CREDIT["group_mean"]([lists])[0].segments_R == (3,)


def test_credit_per_rank_needs_lists_that_cover_the_completion() -> None:
    with pytest.raises(UserError, match="no lists"):
        CREDIT["rank"]([group(None, None)])
    with pytest.raises(RewardError, match="2 of 3 tokens"):
        CREDIT["rank"]([group(*[ListScore(gains_K=(1.0,), segments=(Segment(2, 0),))] * 2)])


def test_one_rank_is_gspo_and_a_rank_per_token_is_grpo() -> None:
    torch.manual_seed(0)
    old, lengths = torch.randn(7), [3, 4]
    new = old + 0.2 * torch.randn(7)
    whole, each = sampled(old, lengths, None), sampled(old, lengths, [(1,) * 3, (1,) * 4])
    assert torch.equal(RANK_GRPO(new, whole), losses.gspo(new, whole, low=0.06, high=0.08))
    assert torch.equal(RANK_GRPO(new, each), losses.clip(new, each, low=0.06, high=0.08))


def test_rank_mean_by_hand() -> None:
    old = torch.zeros(6)
    lists = sampled(old, [4, 2], [(1, 3), (2,)])
    totals = totals_of([sample([1, 3]), sample([2])])
    assert rank_mean(lists, totals).tolist() == pytest.approx(
        [1 / 3, 1 / 9, 1 / 9, 1 / 9, 1 / 6, 1 / 6]
    )
    whole = sampled(old, [4, 2], None)
    unsegmented = totals_of([sample([4]), sample([2])])
    assert torch.equal(rank_mean(whole, unsegmented), sequence_mean(whole, unsegmented))


def test_taking_sequences_takes_their_runs() -> None:
    three = sampled(torch.zeros(7), [2, 3, 2], [(1, 1), (3,), (2,)])
    assert three.take([2, 0]).lengths_R.tolist() == [2, 1, 1]


@needs_golden
def test_advantages_equal_the_official_code() -> None:
    data = golden()["rankgrpo_trainer"]
    ours = rank_advantages(data["item_rewards"])
    torch.testing.assert_close(
        torch.tensor(ours), torch.tensor(data["adv_items"], dtype=torch.float64), atol=1e-6, rtol=0
    )


@needs_golden
@pytest.mark.parametrize("name", ["rankgrpo_trainer", "rankgrpo_length_shaping"])
def test_the_released_variant_equals_the_official_code(name) -> None:
    """Also where it is wrong: an intro line takes rank 0, a trailing newline costs the bonus."""
    data = golden()[name]
    rewards = data.get("item_rewards", golden()["rankgrpo_trainer"]["item_rewards"])
    places = [
        ListScore(gains_K=tuple(gains), segments=official_segments(data, row))
        for row, gains in enumerate(rewards)
    ]
    for row, credit in enumerate(token_advantages(places)):
        assert credit == pytest.approx(data["adv_tokens"][row][: len(credit)], abs=1e-6)
        bins = [seg for seg in data["seg"][row] if seg >= 0]
        runs = ratio_lengths(places[row].segments)
        assert runs == tuple(bins.count(seg) for seg in sorted(set(bins)))


@needs_golden
@pytest.mark.parametrize(
    ("name", "objective", "aggregation", "beta"),
    [
        ("item_bnpo_beta0", RANK_GRPO, token_mean, 0.0),
        ("item_bnpo_beta1e-3", RANK_GRPO, token_mean, 1e-3),
        ("item_grpo_beta0", RANK_GRPO, sequence_mean, 0.0),
        ("token_bnpo_beta0", partial(losses.clip, low=0.06, high=0.08), token_mean, 0.0),
        ("sequence_bnpo_beta0", partial(losses.gspo, low=0.06, high=0.08), token_mean, 0.0),
    ],
)
def test_losses_equal_the_official_code(name, objective, aggregation, beta) -> None:
    data = golden()["rankgrpo_trainer"]
    mask = torch.tensor(data["mask"], dtype=torch.bool)

    def packed(key):
        return torch.tensor(data[key], dtype=torch.float64)[mask]

    lengths = mask.sum(dim=1).tolist()
    runs = [ratio_lengths(official_segments(data, row)) for row in range(4)]
    tokens = sampled(packed("old_logps"), lengths, runs, advantages_T=packed("adv_tokens"))
    tokens = replace(tokens, reference_T=packed("ref_logps"))
    totals = totals_of([sample(lengths) for lengths in runs])
    new = packed("new_logps").requires_grad_()
    loss_T = objective(new, tokens)
    if beta:
        loss_T = loss_T + PENALTIES["k3"](new, tokens, coefficient=beta)
    loss = weighted_sum(loss_T, aggregation(tokens, totals))
    loss.backward()
    expected = data["loss"][name]
    assert float(loss.detach()) == pytest.approx(expected["loss"], abs=1e-6)
    theirs = torch.tensor(expected["grad_new_logps"], dtype=torch.float64)[mask]
    torch.testing.assert_close(new.grad, theirs, atol=1e-6, rtol=0)


def official_segments(data, row):
    ids = [i for i, kept in zip(data["ids"][row], data["mask"][row], strict=True) if kept]
    texts = [data["vocab"][str(i)] if i else "" for i in ids]
    return released_segments(texts, ended=ids[-1] == 0, length=data["rec_num"])


def sampled(old_T, lengths, runs, advantages_T=None) -> SampledTokens:
    """S sequences side by side, with their runs."""
    if advantages_T is None:
        advantages_T = torch.linspace(-1, 1, len(old_T))
    starts = None
    if runs is not None:
        starts = [place == 0 for run in runs for length in run for place in range(length)]
    return SampledTokens(
        behaviour_T=old_T,
        old_T=old_T,
        advantages_T=advantages_T,
        lengths_S=torch.tensor(lengths),
        segment_start_T=None if starts is None else torch.tensor(starts),
    )


def sample(runs) -> Sample:
    count = sum(runs)
    return Sample(
        prompt_ids=(1,),
        completion_ids=(2,) * count,
        logprobs_T=(0.0,) * count,
        advantages_T=(0.0,) * count,
        segments_R=tuple(runs),
    )


def group(*places_G: ListScore | None) -> Group:
    """Siblings of three tokens each."""
    prompt = Prompt(id="p", messages=(), token_ids=(1,))
    completion = Completion(
        token_ids=(5, 6, 7), logprobs_T=(0.0,) * 3, versions_T=(0,) * 3, finish="stop", text=""
    )
    rollouts = tuple(
        Rollout(completion=completion, score=Score(total=0.0, places=places)) for places in places_G
    )
    return Group(
        ticket=Ticket(index=0, key=GroupKey("run", 0, "p", 0), prompt=prompt), rollouts=rollouts
    )
