"""Plackett-Luce: scores as a policy over rankings (Neural PG-RANK, arXiv 2310.04407).

``_S`` sampled rankings of one query, ``_K`` candidates. Imports torch.
"""

import torch
from torch import Tensor


def sample(scores_K: Tensor, num: int, *, generator: torch.Generator | None = None) -> Tensor:
    """``num`` rankings [S, K] of candidate indices, best first: sort by score + Gumbel(0, 1)."""
    uniform_SK = torch.rand((num, len(scores_K)), generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    gumbel_SK = -torch.log((-torch.log(uniform_SK.clamp(min=tiny))).clamp(min=tiny))
    noisy_SK = scores_K.detach().double() + gumbel_SK.to(scores_K.device)
    return noisy_SK.argsort(dim=1, descending=True)


def rank_logprobs(scores_K: Tensor, orders_SK: Tensor) -> Tensor:
    """Log-probability of each choice [S, K]: of the candidate at a rank, among those remaining."""
    chosen_SK = scores_K[orders_SK]
    remaining_SK = chosen_SK.flip(1).logcumsumexp(dim=1).flip(1)
    return chosen_SK - remaining_SK


def logprob(scores_K: Tensor, orders_SK: Tensor) -> Tensor:
    """Log-probability [S] of whole rankings: the sum of ``rank_logprobs`` over ranks."""
    return rank_logprobs(scores_K, orders_SK).sum(dim=1)


def leave_one_out(utilities_S: Tensor) -> Tensor:
    """Utilities minus the mean of the *other* samples'. Raises ValueError on fewer than two."""
    if len(utilities_S) < 2:
        raise ValueError(f"need >= 2 samples for a leave-one-out mean, got {len(utilities_S)}")
    return (utilities_S - utilities_S.mean()) * (len(utilities_S) / (len(utilities_S) - 1))


def policy_gradient(scores_K: Tensor, orders_SK: Tensor, utilities_S: Tensor) -> Tensor:
    """REINFORCE with a leave-one-out baseline: its gradient estimates -grad E[utility]."""
    advantages_S = leave_one_out(utilities_S)
    return -(advantages_S * logprob(scores_K, orders_SK)).mean()
