"""Off-policy weights and masks: against TRL, verl and AReaL, by hand, and on extreme gaps."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.objective import importance_weights as co
from rlpost.objective import losses, rejection_masks
from rlpost.objective.aggregation import Totals, token_mean, weighted_sum
from tests.golden import Fixture, golden, needs_golden

TRL_WEIGHTS = {
    f"{level}_{action}_min{low}_max{high}": partial(
        {"truncate": co.truncated, "mask": co.masked}[action],
        level=level,
        low=0.0 if low is None else low,
        high=high,
    )
    for level in ("token", "sequence")
    for action in ("truncate", "mask")
    for low, high in ((None, 3.0), (0.8, 1.25))
}
AREAL_WEIGHTS = {
    "decoupled_token_mask_ratio_upper5": partial(co.masked, high=5.0),
    "decoupled_token_mask_ratio_upper1.12": partial(co.masked, high=1.12),
    "decoupled_token_clamp_ratio_1.12": partial(co.truncated, high=1.12),
    "decoupled_seq_mask_ratio_upper1.1": partial(co.masked, level="geometric", high=1.1),
    "decoupled_seq_clamp_ratio_upper1.1": partial(co.truncated, level="geometric", high=1.1),
}


def check_loss(expected: dict, weights_T: torch.Tensor) -> None:
    """The clipped objective against the proximal policy, weighted, as a token mean."""
    fixture = Fixture()
    leaf = fixture.new.clone().requires_grad_()
    loss_T = losses.clip(leaf, fixture.sampled()) * weights_T
    shares_T = token_mean(fixture.sampled(), Totals(tokens=18, sequences=4))
    loss = weighted_sum(loss_T, shares_T)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected["loss"], abs=1e-6)
    theirs = fixture.pack(expected["grad_new_logps"])
    torch.testing.assert_close(leaf.grad, theirs, atol=1e-6, rtol=0)


@needs_golden
@pytest.mark.parametrize("name", TRL_WEIGHTS)
def test_weights_and_loss_equal_trl(name: str) -> None:
    fixture = Fixture()
    weights = TRL_WEIGHTS[name](fixture.old, fixture.behaviour, fixture.lengths)
    table = torch.tensor(golden()["trl_is_ratio"][name], dtype=torch.float64)
    theirs = table.expand(fixture.mask.shape)[fixture.mask]
    torch.testing.assert_close(weights, theirs, atol=1e-9, rtol=0)
    check_loss(golden()["trl_loss"][f"dapo_vllm_{name}"], weights)


@needs_golden
@pytest.mark.parametrize("name", AREAL_WEIGHTS)
def test_weights_and_loss_equal_areal(name: str) -> None:
    fixture = Fixture()
    weights = AREAL_WEIGHTS[name](fixture.old, fixture.behaviour, fixture.lengths)
    expected = golden()["areal"][name]
    theirs = fixture.pack(expected["behave_imp_weight"])
    torch.testing.assert_close(weights, theirs, atol=1e-6, rtol=0)
    check_loss(expected, weights)


@needs_golden
def test_a_sequence_mask_on_kl_with_raw_token_weights_equals_areal() -> None:
    fixture = Fixture()
    inputs = (fixture.old, fixture.behaviour, fixture.lengths)
    keep = rejection_masks.bounds(*inputs, divergence="k3_reverse", scope="mean", high=0.05)
    check_loss(
        golden()["areal"]["decoupled_seq_mask_klk3_mean0.05"],
        co.ratio(*inputs, level="token").where(keep, 0.0),
    )


@needs_golden
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("normalised", [False, True])
def test_truncated_weights_equal_verl(level: co.Level, normalised: bool) -> None:
    fixture = Fixture()
    weights = co.truncated(fixture.old, fixture.behaviour, fixture.lengths, level=level, high=2.0)
    if normalised:
        weights = co.self_normalised(weights, fixture.lengths, level=level)
    theirs = golden()["verl_rollout_corr"][f"is_{level}_thr2.0_bn{normalised}"]
    torch.testing.assert_close(weights, fixture.pack(theirs), atol=1e-6, rtol=0)


@needs_golden
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_weighted_loss_equals_verl(level: co.Level) -> None:
    fixture = Fixture()
    inputs = (fixture.old, fixture.behaviour, fixture.lengths)
    expected = golden()["verl_loss"][f"vanilla_token-mean_with_is_{level}"]
    check_loss(expected, co.truncated(*inputs, level=level, high=2.0))


@needs_golden
def test_vespo_takes_a_correction_into_its_ratio_as_in_trl() -> None:
    fixture = Fixture()
    inputs = (fixture.old, fixture.behaviour, fixture.lengths)
    sampled = replace(fixture.sampled(), weights_T=co.truncated(*inputs, high=3.0))
    leaf = fixture.new.clone().requires_grad_()
    loss_T = losses.vespo(leaf, sampled)
    weighted_sum(loss_T, token_mean(sampled, Totals(tokens=18, sequences=4))).backward()
    theirs = fixture.pack(golden()["trl_loss"]["vespo_vllm_token_truncate"]["grad_new_logps"])
    torch.testing.assert_close(leaf.grad, theirs, atol=1e-6, rtol=0)


def test_levels_by_hand() -> None:
    proximal = torch.tensor([0.5, 1.5, 0.25]).log()
    behaviour, lengths = torch.zeros(3), torch.tensor([2, 0, 1])
    weights = {
        level: co.ratio(proximal, behaviour, lengths, level=level).tolist()
        for level in ("token", "sequence", "geometric")
    }
    assert weights["token"] == pytest.approx([0.5, 1.5, 0.25])
    assert weights["sequence"] == pytest.approx([0.75, 0.75, 0.25])
    assert weights["geometric"] == pytest.approx([0.75**0.5, 0.75**0.5, 0.25])


def test_effective_sample_size_by_hand() -> None:
    assert co.effective_sample_size(torch.ones(7)) == pytest.approx(1)
    assert co.effective_sample_size(torch.tensor([1.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)
    assert co.effective_sample_size(torch.zeros(3)) == 0


@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
def test_100_nats_stay_finite(level: co.Level) -> None:
    proximal = torch.tensor([-100.0, 0.0, -100.0, 0.0])
    behaviour = torch.tensor([0.0, -100.0, -100.0, 0.0])
    for correct in (co.truncated, co.masked):
        weights = correct(proximal, behaviour, torch.tensor([1, 0, 1, 2]), level=level)
        assert weights.isfinite().all()


def test_decoupled_weights_recover_the_on_policy_gradient_by_exact_summation() -> None:
    """On a five-way choice: the gradient expected under another sampling policy is exact."""
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    behaviour = torch.randn(5, dtype=torch.float64).log_softmax(0)
    rewards = torch.randn(5, dtype=torch.float64)
    logp = logits.log_softmax(0)
    (exact,) = torch.autograd.grad(-(logp.exp() * rewards).sum(), logits, retain_graph=True)
    lengths = torch.ones(5, dtype=torch.long)
    sampled = SampledTokens(
        behaviour_T=behaviour, old_T=logp.detach(), advantages_T=rewards, lengths_S=lengths
    )
    weights = co.truncated(logp.detach(), behaviour, lengths, high=1e9)
    loss = (behaviour.exp() * weights * losses.clip(logp, sampled)).sum()
    (ours,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(ours, exact)
