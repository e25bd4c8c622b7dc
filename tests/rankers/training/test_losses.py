"""Losses against the official implementations, by hand, and unchanged by batching."""

import math

import pytest
import torch

from rankers.training import losses
from tests.rankers.golden import golden


def close(found: torch.Tensor, expected: object) -> None:
    torch.testing.assert_close(
        found.detach(), torch.tensor(expected, dtype=found.dtype), rtol=1e-5, atol=1e-6
    )


def first_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    case = golden("FIRST_losses")["label_construction"]
    scores = torch.tensor([case["scores"]], requires_grad=True)
    ranks = torch.tensor([case["target_rank0"]]) + 1
    return scores, ranks, torch.tensor([case["y_true"]])


def test_ranknet_of_two_candidates_by_hand() -> None:
    loss = losses.ranknet(torch.tensor([[0.5, 2.0]]), torch.tensor([[1, 2]]))
    assert loss.item() == pytest.approx(math.log1p(math.exp(1.5)))
    loss = losses.ranknet(torch.tensor([[0.5, 2.0]]), torch.tensor([[1, 2]]), weighted=True)
    assert loss.item() == pytest.approx(math.log1p(math.exp(1.5)) / 3)


@pytest.mark.parametrize("weighted", [True, False])
def test_ranknet_is_firsts_with_its_gradient(weighted: bool) -> None:
    expected = golden("FIRST_losses")[f"ranknet_weighted_{weighted}"]
    scores, ranks, _ = first_case()
    loss = losses.ranknet(scores, ranks, weighted=weighted)
    close(loss, expected["loss"])
    loss.backward()
    assert scores.grad is not None
    close(scores.grad[0], expected["grad"])


def test_tied_scores_count() -> None:
    loss = losses.ranknet(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[2, 1, 3]]), weighted=True)
    assert loss.item() == pytest.approx(0.124006, abs=1e-6)  # the release: 0.070484


def test_a_batch_is_the_mean_of_its_lists() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 7, generator=generator)
    ranks = torch.stack([torch.randperm(7, generator=generator) for _ in range(3)]) + 1
    for loss in (
        losses.ranknet,
        lambda s, r: losses.ranknet(s, r, weighted=True),
        lambda s, r: losses.listnet(s, -r.float()),
        lambda s, r: losses.lambdarank(s, 7 - r.float()),
    ):
        single = torch.stack([loss(scores[i : i + 1], ranks[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(loss(scores, ranks), single.mean())


def test_losses_do_not_depend_on_the_order_of_candidates() -> None:
    generator = torch.Generator().manual_seed(1)
    scores, ranks = torch.randn(1, 6, generator=generator), torch.tensor([[3, 1, 6, 2, 5, 4]])
    moved = torch.randperm(6, generator=generator)
    for loss in (losses.ranknet, lambda s, r: losses.lambdarank(s, 6 - r.float())):
        torch.testing.assert_close(loss(scores[:, moved], ranks[:, moved]), loss(scores, ranks))


def test_first_joint_objective() -> None:
    scores, ranks, _ = first_case()
    weighted = golden("FIRST_losses")["ranknet_weighted_True"]["loss"]
    close(losses.first_joint(torch.tensor(0.5), scores, ranks), 0.5 + 10 * weighted)


def test_lambdarank_is_firsts() -> None:
    scores, _, dealt = first_case()
    close(losses.lambdarank(scores, dealt), golden("FIRST_losses")["lambdarank_ndcgLoss2"])


def test_listnet_is_firsts_without_the_candidate_it_takes_for_padding() -> None:
    scores, _, dealt = first_case()
    real = dealt[0] != -1
    close(
        losses.listnet(scores[:, real], dealt[:, real]),
        golden("FIRST_losses")["listnet"],
    )


def test_e2rank() -> None:
    case = golden("E2Rank_losses")
    queries, listwise = torch.tensor(case["q"]), torch.tensor(case["pseudo_q"])
    docs = torch.tensor(case["d"]).view(2, 4, -1)
    ranking = torch.tensor(case["ranking0"])
    ranks = torch.empty_like(ranking).scatter_(1, ranking, torch.arange(1, 5).expand(2, 4))
    close(losses.info_nce(queries, docs, ranking[:, 0]), case["infonce"])
    close(losses.ranknet(torch.tensor(case["scaled_scores"]), ranks), case["ranknet"])
    close(losses.e2rank_joint(queries, listwise, docs, ranks), case["total"])


def test_full_ranking_weights_tokens_by_rank() -> None:
    case = golden("fullrank_loss")
    labels = torch.tensor(case["label_tokens"])
    close(losses.importance_weights(labels, case["separator_id"]), case["token_weights"])
    nll = torch.tensor(case["token_nll"])
    close(nll.mean(), case["official"]["plain"])
    close(losses.importance_nll(nll, labels, case["separator_id"]), case["official"]["weighted"])
