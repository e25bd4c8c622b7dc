"""The Plackett-Luce policy against enumeration of all its rankings."""

from itertools import permutations

import pytest
import torch

from rankers.evaluation.measures import ndcg
from rankers.training import plackett_luce
from tests.rankers.golden import golden

SCORES = torch.tensor([1.0, 0.5, -0.2, 0.3], dtype=torch.float64)
ALL = torch.tensor(list(permutations(range(4))))


def test_probabilities_of_all_rankings_add_up_to_1() -> None:
    assert plackett_luce.logprob(SCORES, ALL).exp().sum().item() == pytest.approx(1.0)


def test_the_first_choice_is_a_softmax_and_the_last_is_certain() -> None:
    logprobs = plackett_luce.rank_logprobs(SCORES, torch.tensor([[2, 0, 1, 3]]))[0]
    assert logprobs[0].item() == pytest.approx(SCORES.log_softmax(0)[2].item())
    assert logprobs[3].item() == pytest.approx(0.0)


def test_samples_follow_the_policy() -> None:
    orders = plackett_luce.sample_ranking(
        SCORES, 40_000, generator=torch.Generator().manual_seed(0)
    )
    codes = (orders * torch.tensor([64, 16, 4, 1])).sum(1)
    for order, expected in zip(ALL, plackett_luce.logprob(SCORES, ALL).exp(), strict=True):
        share = (codes == (order * torch.tensor([64, 16, 4, 1])).sum()).float().mean()
        assert share.item() == pytest.approx(expected.item(), abs=0.01)


def test_golden_policy_gradient_and_its_expectation() -> None:
    case = golden("plackett_luce")
    scores = torch.tensor(case["theta"], dtype=torch.float64, requires_grad=True)
    identity = torch.tensor([[0, 1, 2, 3]])
    assert plackett_luce.logprob(scores, identity).item() == pytest.approx(case["logp_identity"])

    utilities = torch.tensor([ndcg(order.tolist(), case["rel"]) for order in ALL])
    expected = (plackett_luce.logprob(scores, ALL).exp() * utilities).sum()
    assert expected.item() == pytest.approx(case["expected_ndcg"])
    [gradient] = torch.autograd.grad(expected, scores)
    assert gradient.tolist() == pytest.approx(case["grad_expected_ndcg"])

    samples = torch.tensor(case["samples"])
    reached = torch.tensor(case["utilities"], dtype=torch.float64)
    assert [ndcg(order, case["rel"]) for order in case["samples"]] == pytest.approx(
        case["utilities"]
    )
    baselines = reached - plackett_luce.leave_one_out(reached)
    assert baselines.tolist() == pytest.approx(case["leave_one_out_baselines"])
    loss = plackett_luce.policy_gradient(scores, samples, reached)
    assert loss.item() == pytest.approx(case["loo_pg_loss"])
    [gradient] = torch.autograd.grad(loss, scores)
    assert gradient.tolist() == pytest.approx(case["loo_pg_grad"])


def test_one_sample_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="need >= 2 samples"):
        plackett_luce.leave_one_out(torch.tensor([1.0]))


def test_a_ranking_that_stops_early_has_the_probability_of_all_that_go_on() -> None:
    top = torch.tensor([[3, 1]])
    going_on = [order for order in ALL.tolist() if order[:2] == [3, 1]]
    whole = plackett_luce.logprob(SCORES, torch.tensor(going_on)).exp().sum()
    assert plackett_luce.logprob(SCORES, top).exp().item() == pytest.approx(whole.item())
    sampled = plackett_luce.sample_ranking(SCORES, 5, num_ranks=2, generator=torch.Generator())
    assert sampled.shape == (5, 2)


def test_entropy_of_each_choice() -> None:
    found = plackett_luce.rank_entropies(SCORES, torch.tensor([[3, 1, 0, 2]]))[0]
    first = SCORES.softmax(0)
    third = torch.stack([SCORES[0], SCORES[2]]).softmax(0)
    assert found[0].item() == pytest.approx(-(first * first.log()).sum().item())
    assert found[2].item() == pytest.approx(-(third * third.log()).sum().item())
    assert found[3].item() == pytest.approx(0.0)


def test_entropy_has_a_gradient_also_where_a_choice_is_certain() -> None:
    scores = torch.tensor([300.0, 0.0, -300.0], requires_grad=True)
    plackett_luce.rank_entropies(scores, torch.tensor([[1, 0, 2]])).sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
