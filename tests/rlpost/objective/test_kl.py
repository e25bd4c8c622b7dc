"""KL estimators: values and gradients against verl, unbiasedness by exact summation."""

import pytest
import torch

from rlpost.objective import kl, losses
from rlpost.objective.aggregation import Totals, sequence_mean, weighted_sum
from rlpost.objective.kl import KL
from tests.golden import Fixture, golden, needs_golden


@needs_golden
@pytest.mark.parametrize("name", ["k1", "k2", "k3", "absolute"])
def test_values_equal_verl(name: str) -> None:
    fixture = Fixture()
    theirs = fixture.pack(golden()["verl_kl"]["abs" if name == "absolute" else name])
    torch.testing.assert_close(KL[name](fixture.new, fixture.ref), theirs, atol=1e-9, rtol=0)


@needs_golden
@pytest.mark.parametrize("name", ["k1", "k2", "k3", "k3_plus"])
def test_gradients_equal_verl(name: str) -> None:
    """verl does not implement its k3+; the intention is the gradient of k2."""
    fixture = Fixture()
    leaf = fixture.new.clone().requires_grad_()
    KL[name](leaf, fixture.ref).sum().backward()
    theirs = fixture.pack(golden()["verl_kl_grad"]["k2" if name == "k3_plus" else name])
    torch.testing.assert_close(leaf.grad, theirs, atol=1e-9, rtol=0)
    torch.testing.assert_close(
        kl.k3_plus(fixture.new, fixture.ref), kl.k3(fixture.new, fixture.ref)
    )


@needs_golden
@pytest.mark.parametrize("corrected", [False, True])
def test_in_the_loss_equals_trl(corrected: bool) -> None:
    name = "grpo_token_beta0.04_k3" + ("_biascorrected" if corrected else "")
    fixture = Fixture()
    leaf = fixture.new.clone().requires_grad_()
    kl_T = kl.k3(leaf, fixture.ref)
    if corrected:
        kl_T = kl.bias_corrected(kl_T, leaf, fixture.old)
    loss_T = losses.clip(leaf, fixture.sampled()) + 0.04 * kl_T
    weights_T = sequence_mean(fixture.sampled(), Totals(tokens=18, sequences=4))
    loss = weighted_sum(loss_T, weights_T)
    loss.backward()
    expected = golden()["trl_loss"][name]
    assert float(loss.detach()) == pytest.approx(expected["loss"], abs=1e-6)
    theirs = fixture.pack(expected["grad_new_logps"])
    torch.testing.assert_close(leaf.grad, theirs, atol=1e-6, rtol=0)


def test_expectations_by_exact_summation() -> None:
    """On a five-way choice: E[k1] = E[k3] = KL, and E[grad k2 * grad log pi] = grad KL."""
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(5, dtype=torch.float64).log_softmax(0)
    logp = logits.log_softmax(0)
    exact = (logp.exp() * (logp - reference)).sum()
    for name in ("k1", "k3"):
        expected = (logp.exp() * KL[name](logp, reference)).sum()
        torch.testing.assert_close(expected, exact)
    (gradient,) = torch.autograd.grad(exact, logits, retain_graph=True)
    for name in ("k2", "k3_plus"):
        values = KL[name](logp, reference)
        mean = (logp.exp().detach() * values).sum()
        (ours,) = torch.autograd.grad(mean, logits, retain_graph=True)
        torch.testing.assert_close(ours, gradient)


@pytest.mark.parametrize("name", KL)
def test_100_nats_stay_finite_and_equal_policies_are_at_0(name: str) -> None:
    leaf = torch.tensor([-100.0, 0.0, -1.0], requires_grad=True)
    values = KL[name](leaf, torch.tensor([0.0, -100.0, -1.0]))
    values.sum().backward()
    assert values.isfinite().all()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert values[2] == 0
