"""Plackett-Luce: scores as a policy over rankings (Neural PG-RANK, arXiv 2310.04407).

``_S`` sampled rankings of one query, ``_K`` candidates, ``_R`` ranks that are filled: a ranking
may stop early, and then has the probability of all full rankings that begin with it. Imports
torch.
"""

import torch
from torch import Tensor


def sample_ranking(
    scores_K: Tensor,
    num: int,
    *,
    num_ranks: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``num`` rankings [S, R] of candidate indices, best first: sort by score + Gumbel(0, 1)."""
    uniform_SK = torch.rand((num, len(scores_K)), generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    gumbel_SK = -torch.log((-torch.log(uniform_SK.clamp(min=tiny))).clamp(min=tiny))
    noisy_SK = scores_K.detach().double() + gumbel_SK.to(scores_K.device)
    return noisy_SK.argsort(dim=1, descending=True)[:, :num_ranks]


def rank_logprobs(scores_K: Tensor, orders_SR: Tensor) -> Tensor:
    """Log-probability [S, R] of the choice at each rank, among the candidates left for it."""
    chosen_SK = scores_K[_completed(orders_SR, len(scores_K))]
    remaining_SK = chosen_SK.flip(1).logcumsumexp(dim=1).flip(1)
    return (chosen_SK - remaining_SK)[:, : orders_SR.shape[1]]


def rank_entropies(scores_K: Tensor, orders_SR: Tensor) -> Tensor:
    """Entropy [S, R] in nats of the choice at each rank, given the choices before it."""
    num = len(scores_K)
    orders_SK = _completed(orders_SR, num)
    logits_SRK = scores_K[orders_SK][:, None, :].expand(-1, orders_SR.shape[1], -1)
    ranks_R = torch.arange(orders_SR.shape[1], device=scores_K.device)
    gone_RK = torch.arange(num, device=scores_K.device) < ranks_R[:, None]
    logprobs_SRK = logits_SRK.masked_fill(gone_RK, -torch.inf).log_softmax(dim=2)
    return -(logprobs_SRK.exp() * logprobs_SRK.masked_fill(gone_RK, 0.0)).sum(dim=2)


def logprob(scores_K: Tensor, orders_SR: Tensor) -> Tensor:
    """Log-probability [S] of rankings: the sum of ``rank_logprobs`` over ranks."""
    return rank_logprobs(scores_K, orders_SR).sum(dim=1)


def leave_one_out(utilities_S: Tensor) -> Tensor:
    """Utilities minus the mean of the *other* samples'. Raises ValueError on fewer than two."""
    if len(utilities_S) < 2:
        raise ValueError(f"need >= 2 samples for a leave-one-out mean, got {len(utilities_S)}")
    return (utilities_S - utilities_S.mean()) * (len(utilities_S) / (len(utilities_S) - 1))


def policy_gradient(scores_K: Tensor, orders_SR: Tensor, utilities_S: Tensor) -> Tensor:
    """REINFORCE with a leave-one-out baseline: its gradient estimates -grad E[utility]."""
    advantages_S = leave_one_out(utilities_S)
    return -(advantages_S * logprob(scores_K, orders_SR)).mean()


def _completed(orders_SR: Tensor, num: int) -> Tensor:
    """[S, K]: the rankings, followed by the candidates that they leave out, in input order."""
    left_out_SK = torch.ones((len(orders_SR), num), device=orders_SR.device)
    left_out_SK = left_out_SK.scatter(1, orders_SR, 0.0)
    rest_SK = left_out_SK.argsort(dim=1, descending=True, stable=True)
    return torch.cat([orders_SR, rest_SK[:, : num - orders_SR.shape[1]]], dim=1)
