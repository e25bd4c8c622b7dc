"""Objectives and aggregations: by hand, against the official code, and on extreme inputs."""

from functools import partial

import pytest
import torch

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.objective import aggregation as agg
from rlpost.objective import losses
from rlpost.objective.aggregation import Totals, weighted_sum
from rlpost.objective.losses import OBJECTIVES
from tests.golden import Fixture, golden, needs_golden

CLIP = partial(losses.clip, low=0.2, high=0.2)
GSPO = partial(losses.gspo, low=0.2, high=0.2)
DR_GRPO = partial(agg.constant, length=10)

TRL = {
    "grpo_token": (CLIP, agg.sequence_mean),
    "bnpo_token": (CLIP, agg.token_mean),
    "dapo_token": (CLIP, agg.token_mean),
    "dr_grpo_token": (CLIP, DR_GRPO),
    "dapo_cliphigher_0.2_0.28": (partial(losses.clip, low=0.2, high=0.28), agg.token_mean),
    "grpo_token_delta1.3": (partial(losses.clip, delta=1.3), agg.sequence_mean),
    "gspo_seq_grpo_eps3e-4_4e-4": (losses.gspo, agg.sequence_mean),
    "gspo_seq_grpo_eps0.2": (GSPO, agg.sequence_mean),
    "gspo_seq_with_dapo_agg_eps0.2": (GSPO, agg.token_mean),
    "luspo_seq_eps0.2": (GSPO, agg.sequence_sum),
    "cispo_epshigh5": (losses.cispo, agg.token_mean),
    "cispo_epshigh1.2": (partial(losses.cispo, cap=1.2), agg.token_mean),
    "sapo": (losses.sapo, agg.sequence_mean),
    "vespo_no_vllm": (losses.vespo, agg.token_mean),
    "gmpo_eps0.4": (losses.gmpo, agg.sequence_mean),
}
VERL = {
    "vanilla_token-mean": (CLIP, agg.token_mean),
    "vanilla_seq-mean-token-sum": (CLIP, agg.sequence_sum),
    "vanilla_seq-mean-token-mean": (CLIP, agg.sequence_mean),
    "vanilla_dualclip_c1.1": (partial(losses.clip, dual=1.1), agg.token_mean),
    "gspo": (partial(losses.gspo_token, low=0.2, high=0.2), agg.sequence_mean),
    "cispo": (losses.cispo_band, agg.token_mean),
    "sapo": (losses.sapo, agg.sequence_mean),
    "geo_mean_eps0.4": (losses.gmpo, agg.sequence_mean),
}
AREAL = {
    "gspo_level_no_rs": (GSPO, agg.token_mean),
    "dual_clip_c1.1": (partial(losses.clip, dual=1.1), agg.token_mean),
    "decoupled_no_rs": (CLIP, agg.token_mean),
}


def loss_and_gradient(objective, aggregation, *, sampled, new_T, totals):
    leaf = new_T.clone().requires_grad_()
    loss_T = objective(leaf, sampled)
    loss = weighted_sum(loss_T, aggregation(sampled, totals))
    loss.backward()
    return loss.detach(), leaf.grad


def check(expected, objective, aggregation, *, old=None, totals=None):
    fixture = Fixture()
    loss, gradient = loss_and_gradient(
        objective,
        aggregation,
        sampled=fixture.sampled(fixture.old if old is None else old),
        new_T=fixture.new,
        totals=totals or Totals(tokens=18, sequences=4),
    )
    assert float(loss) == pytest.approx(expected["loss"], abs=1e-6)
    theirs = fixture.pack(expected["grad_new_logps"])
    torch.testing.assert_close(gradient, theirs, atol=1e-6, rtol=0)


@needs_golden
@pytest.mark.parametrize("name", TRL)
def test_equals_trl(name) -> None:
    check(golden()["trl_loss"][name], *TRL[name])


@needs_golden
@pytest.mark.parametrize("name", VERL)
def test_equals_verl(name) -> None:
    check(golden()["verl_loss"][name], *VERL[name])


@needs_golden
@pytest.mark.parametrize("name", AREAL)
def test_equals_areal(name) -> None:
    check(golden()["areal"][name], *AREAL[name])


@needs_golden
def test_denominators_are_arguments() -> None:
    trl = golden()["trl_loss"]
    check(trl["dapo_num_items_50_ga4"], CLIP, agg.token_mean, totals=Totals(tokens=50, sequences=4))
    check(trl["grpo_ga4"], CLIP, agg.sequence_mean, totals=Totals(tokens=18, sequences=16))
    verl = golden()["verl_loss"]["vanilla_seq-mean-token-sum-norm"]
    check(verl, CLIP, partial(agg.constant, length=6), totals=Totals(tokens=18, sequences=1))


@needs_golden
def test_first_step_is_the_plain_policy_gradient() -> None:
    check(golden()["trl_loss"]["dapo_first_step_old_none"], CLIP, agg.token_mean, old=Fixture().new)


def tokens(old, advantages, lengths, dtype=torch.float64):
    return SampledTokens(
        behaviour_T=torch.tensor(old, dtype=dtype),
        old_T=torch.tensor(old, dtype=dtype),
        advantages_T=torch.tensor(advantages, dtype=torch.float64),
        lengths_S=torch.tensor(lengths),
    )


def test_clip_by_hand() -> None:
    sampled = tokens([0.0] * 4, [1.0, 1.0, -1.0, -1.0], [2, 2])
    ratios = torch.tensor([1.5, 0.5, 1.5, 0.5], dtype=torch.float64)
    loss_T = losses.clip(ratios.log(), sampled, low=0.2, high=0.3)
    torch.testing.assert_close(loss_T.tolist(), [-1.3, -0.5, 1.5, 0.8])
    capped_T = losses.clip(ratios.log(), sampled, low=0.2, high=0.3, delta=1.4)
    torch.testing.assert_close(capped_T.tolist(), [-1.3, -0.5, 1.4, 0.8])
    dual_T = losses.clip(ratios.log(), sampled, low=0.2, high=0.3, dual=1.2)
    torch.testing.assert_close(dual_T.tolist(), [-1.3, -0.5, 1.2, 0.8])


@pytest.mark.parametrize("name", sorted(OBJECTIVES.keys() - {"gspo", "gmpo"}))
def test_on_policy_gradient_of_token_objectives_is_reinforce(name) -> None:
    sampled = tokens([-0.5, -1.0, -2.0, -0.1], [1.0, 1.0, -2.0, -2.0], [2, 2])
    leaf = sampled.old_T.clone().requires_grad_()
    OBJECTIVES[name](leaf, sampled).sum().backward()
    torch.testing.assert_close(leaf.grad, -sampled.advantages_T)


@pytest.mark.parametrize("name", ["gspo", "gmpo"])
def test_on_policy_gradient_of_sequence_objectives_is_reinforce_per_sequence(name) -> None:
    sampled = tokens([-0.5, -1.0, -2.0, -0.1], [1.0, 1.0, -2.0, -2.0], [2, 2])
    leaf = sampled.old_T.clone().requires_grad_()
    OBJECTIVES[name](leaf, sampled).sum().backward()
    torch.testing.assert_close(leaf.grad, -sampled.advantages_T)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gaps_of_100_nats_and_empty_sequences_stay_finite(name, dtype) -> None:
    sampled = tokens(
        [0.0, -100.0, 0.0, -100.0, -1.0], [1.0, 1.0, -1.0, -1.0, 0.0], [2, 0, 2, 1], dtype
    )
    leaf = torch.tensor([-100.0, 0.0, -100.0, 0.0, -1.0], dtype=dtype, requires_grad=True)
    loss_T = OBJECTIVES[name](leaf, sampled)
    assert loss_T.dtype in (torch.float32, torch.float64)
    loss_T.sum().backward()
    assert loss_T.isfinite().all()
    assert leaf.grad.isfinite().all()
    assert loss_T[4] == 0
    assert leaf.grad[4] == 0


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(
    "aggregate", [agg.token_mean, agg.sequence_mean, agg.sequence_sum, DR_GRPO]
)
def test_the_split_into_micro_batches_does_not_matter(name, aggregate) -> None:
    torch.manual_seed(0)
    lengths = [3, 1, 4, 2]
    new = torch.randn(10, dtype=torch.float64)
    old = new + 0.3 * torch.randn(10, dtype=torch.float64)
    advantages = torch.randn(4, dtype=torch.float64).repeat_interleave(torch.tensor(lengths))
    totals = Totals.of(lengths)

    def part(sequences):
        keep = torch.zeros(4, dtype=torch.bool)
        keep[sequences] = True
        mask = keep.repeat_interleave(torch.tensor(lengths))
        sampled = SampledTokens(
            behaviour_T=old[mask],
            old_T=old[mask],
            advantages_T=advantages[mask],
            lengths_S=torch.tensor(lengths)[keep],
        )
        loss, gradient = loss_and_gradient(
            OBJECTIVES[name], aggregate, sampled=sampled, new_T=new[mask], totals=totals
        )
        return loss, torch.zeros(10, dtype=torch.float64).masked_scatter(mask, gradient)

    whole_loss, whole_gradient = part([0, 1, 2, 3])
    for split in ([[0, 1], [2, 3]], [[0, 3], [1], [2]]):
        parts = [part(sequences) for sequences in split]
        torch.testing.assert_close(sum(loss for loss, _ in parts), whole_loss)
        torch.testing.assert_close(sum(gradient for _, gradient in parts), whole_gradient)


def test_an_empty_completion_counts_as_a_sequence_but_not_as_a_token() -> None:
    totals = Totals.of([0, 2, 4])
    assert totals == Totals(tokens=6, sequences=3, runs=3)
    zeros = torch.zeros(6)
    sampled = SampledTokens(
        behaviour_T=zeros, old_T=zeros, advantages_T=zeros, lengths_S=torch.tensor([0, 2, 4])
    )
    assert agg.token_mean(sampled, totals).tolist() == [1 / 6] * 6
    assert agg.sequence_mean(sampled, totals).tolist() == [1 / 6] * 2 + [1 / 12] * 4
    assert Totals.of([]) == Totals(tokens=1, sequences=1)
