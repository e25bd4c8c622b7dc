"""Masks against off-policy tokens: against verl, AReaL and TRL, by hand, and on extreme gaps."""

import pytest
import torch

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.objective import rejection_masks
from tests.golden import Fixture, golden, needs_golden
from tests.rlpost.objective.test_importance_weights import check_loss

# verl bounds rollout / train, we bound train / rollout: its "low_high" is our [1/high, 1/low].
VERL_KEPT = {
    "rs_token_k1_0.8_1.25": ("ratio", "token", 1 / 1.25, 1 / 0.8),
    "rs_token_k1_0.95_2.0": ("ratio", "token", 1 / 2.0, 1 / 0.95),
    "rs_seq_sum_k1_0.5_2.0": ("ratio", "sum", 1 / 2.0, 1 / 0.5),
    "rs_seq_mean_k1_0.9_1.1": ("ratio", "mean", 1 / 1.1, 1 / 0.9),
    "rs_seq_mean_k3_0.01": ("k3", "mean", 0.0, 0.01),
    "rs_seq_max_k2_0.01": ("k2", "max", 0.0, 0.01),
    "rs_token_k3_0.01": ("k3", "token", 0.0, 0.01),
}


@needs_golden
@pytest.mark.parametrize("name", VERL_KEPT)
def test_rejection_equals_verl(name: str) -> None:
    fixture = Fixture()
    divergence, scope, low, high = VERL_KEPT[name]
    keep = rejection_masks.bounds(
        fixture.old,
        fixture.behaviour,
        fixture.lengths,
        divergence=divergence,
        scope=scope,
        low=low,
        high=high,
    )
    theirs = fixture.pack(golden()["verl_rollout_corr"][name]) > 0
    assert keep.tolist() == theirs.tolist()


@needs_golden
def test_m2po_equals_areal() -> None:
    fixture = Fixture()
    data = golden()["areal_m2po"]
    keep = rejection_masks.m2po(
        fixture.old, fixture.behaviour, fixture.lengths, threshold=data["threshold"]
    )
    assert keep.tolist() == (fixture.pack(data["mask"]) > 0).tolist()


@needs_golden
def test_the_off_policy_sequence_mask_equals_trl() -> None:
    fixture = Fixture()
    keep = rejection_masks.drift(fixture.new, fixture.sampled(), threshold=0.02)
    check_loss(golden()["trl_loss"]["dapo_opsm0.02"], keep.double())


@needs_golden
def test_the_top_entropy_mask_equals_trl() -> None:
    """The file has no entropies: its loss and gradient leave these seven of 18 tokens."""
    fixture = Fixture()
    entropy_T = torch.zeros_like(fixture.new)
    entropy_T[[1, 3, 7, 9, 10, 13, 17]] = torch.arange(1.0, 8.0, dtype=torch.float64)
    keep = rejection_masks.top_entropy(entropy_T, share=0.4)
    check_loss(golden()["trl_loss"]["dapo_topentropy0.4"], keep.double())


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4, 0.55, 1.0])
def test_top_entropy_is_the_quantile_that_trl_takes(share: float) -> None:
    torch.manual_seed(0)
    entropy_T = torch.rand(37, dtype=torch.float64)
    expected = entropy_T >= torch.quantile(entropy_T, 1 - share)
    assert rejection_masks.top_entropy(entropy_T, share=share).tolist() == expected.tolist()
    flat = torch.full((5,), 0.3)
    assert rejection_masks.top_entropy(flat, share=share).all()
    assert rejection_masks.top_entropy(flat[:0], share=share).shape == (0,)


def test_m2po_by_hand() -> None:
    proximal = torch.tensor([-100.0, 0.0, -100.0, 0.0])
    behaviour = torch.tensor([0.0, -100.0, -100.0, 0.0])
    lengths = torch.tensor([4])
    keep = rejection_masks.m2po(proximal, behaviour, lengths, threshold=0.01)
    assert keep.tolist() == [False, False, True, True]
    alone = rejection_masks.m2po(proximal[:1], behaviour[:1], lengths, threshold=0.01)
    assert alone.tolist() == [True]


def test_the_sequence_mask_spares_good_sequences_and_those_that_became_likelier() -> None:
    sampled = SampledTokens(
        behaviour_T=torch.zeros(6),
        old_T=torch.zeros(6),
        advantages_T=torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0, -1.0]),
        lengths_S=torch.tensor([2, 2, 0, 2]),
    )
    logprobs_T = torch.tensor([-9.0, -9.0, -0.5, 0.1, 3.0, 3.0])
    keep = rejection_masks.drift(logprobs_T, sampled, threshold=0.1)
    assert keep.tolist() == [True, True, False, False, True, True]
