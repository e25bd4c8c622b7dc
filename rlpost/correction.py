"""Off-policy correction: weights for tokens sampled by another policy than the one that learns.

``proximal_T`` are the learner's log-probabilities before the step's first update, ``behaviour_T``
those of the engine that sampled. Their ratio rho is constant during the step and multiplies the
token losses of an objective whose own ratio is pi / pi_proximal (decoupled PPO, arXiv 2110.00641).

The level of a ratio is part of its name, because thresholds do not carry over:
``token``      exp(d) of each token
``sequence``   exp(sum of d): the product, what TRL and verl call sequence level
``geometric``  exp(mean of d): the geometric mean, what AReaL calls sequence level
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from rlpost.losses import log_ratio
from rlpost.segments import segment_max, segment_mean, segment_sum, spread

Level = Literal["token", "sequence", "geometric"]
Divergence = Literal["ratio", "k2", "k3", "k3_reverse"]
Scope = Literal["token", "sum", "mean", "max"]


def ratio(proximal_T: Tensor, behaviour_T: Tensor, lengths_S: Tensor, *, level: Level) -> Tensor:
    """rho of each token, detached; on sequence levels every token has its sequence's."""
    log_ratio_T = log_ratio(proximal_T, behaviour_T).detach()
    return LEVELS[level](log_ratio_T, lengths_S).clamp(-20, 20).exp()


LEVELS: dict[Level, Callable[[Tensor, Tensor], Tensor]] = {
    "token": lambda d_T, lengths_S: d_T,
    "sequence": lambda d_T, lengths_S: spread(segment_sum(d_T, lengths_S), lengths_S),
    "geometric": lambda d_T, lengths_S: spread(segment_mean(d_T, lengths_S), lengths_S),
}


def truncated(
    proximal_T: Tensor,
    behaviour_T: Tensor,
    lengths_S: Tensor,
    *,
    level: Level = "token",
    low: float = 0.0,
    high: float = 2.0,
) -> Tensor:
    """rho clamped to [low, high]: truncated importance sampling (TIS)."""
    return ratio(proximal_T, behaviour_T, lengths_S, level=level).clamp(low, high)


def masked(
    proximal_T: Tensor,
    behaviour_T: Tensor,
    lengths_S: Tensor,
    *,
    level: Level = "token",
    low: float = 0.0,
    high: float = 2.0,
) -> Tensor:
    """rho inside [low, high] and 0 outside: masked importance sampling (MIS, IcePop)."""
    rho_T = ratio(proximal_T, behaviour_T, lengths_S, level=level)
    return rho_T.where((rho_T >= low) & (rho_T <= high), 0.0)


Correction = Callable[..., Tensor]

CORRECTIONS: dict[str, Correction] = {"truncated": truncated, "masked": masked}


def self_normalised(weights_T: Tensor, lengths_S: Tensor, *, level: Level) -> Tensor:
    """Weights scaled to mean 1: over tokens, or for sequence levels over sequences."""
    if level == "token":
        return weights_T / weights_T.mean().clamp(min=1e-8)
    trained = lengths_S > 0
    return weights_T / segment_mean(weights_T, lengths_S)[trained].mean().clamp(min=1e-8)


def kept(
    proximal_T: Tensor,
    behaviour_T: Tensor,
    lengths_S: Tensor,
    *,
    divergence: Divergence,
    scope: Scope,
    low: float = 0.0,
    high: float,
) -> Tensor:
    """Rejection: True for the tokens to learn from.

    Kept is where ``low <= divergence <= high``, the divergence being of each token, or of whole
    sequences by the sum, mean or maximum over their tokens. ``ratio`` bounds rho itself (its
    geometric mean for ``mean``, its product for ``sum``); ``k2`` is d^2 / 2; ``k3`` is
    rho - 1 - log rho, as in verl; ``k3_reverse`` the same of 1 / rho, as in AReaL.
    """
    measured_T = DIVERGENCES[divergence](log_ratio(proximal_T, behaviour_T).detach())
    value_T = measured_T
    if scope != "token":
        value_T = spread(SCOPES[scope](measured_T, lengths_S), lengths_S)
    if divergence == "ratio":
        value_T = value_T.exp()
    return (value_T >= low) & (value_T <= high)


DIVERGENCES: dict[Divergence, Callable[[Tensor], Tensor]] = {
    "ratio": lambda d_T: d_T,
    "k2": lambda d_T: d_T.square() / 2,
    "k3": lambda d_T: torch.expm1(d_T) - d_T,
    "k3_reverse": lambda d_T: torch.expm1(-d_T) + d_T,
}
SCOPES: dict[Scope, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": segment_sum,
    "mean": segment_mean,
    "max": segment_max,
}


def m2po_kept(proximal_T: Tensor, behaviour_T: Tensor, *, threshold: float) -> Tensor:
    """Drop the largest d^2 until the mean of the rest is below ``threshold`` (M2PO, 2510.01161).

    At least one token is kept.
    """
    squares_T = log_ratio(proximal_T, behaviour_T).detach().square()
    ascending_T, order_T = squares_T.sort(stable=True)
    means_T = ascending_T.cumsum(0) / torch.arange(1, len(squares_T) + 1, device=squares_T.device)
    count = max(int((means_T < threshold).sum()), 1)
    kept_T = torch.zeros_like(squares_T, dtype=torch.bool)
    kept_T[order_T[:count]] = True
    return kept_T


def on_policy_enough(
    logprobs_T: Tensor,
    behaviour_T: Tensor,
    advantages_T: Tensor,
    lengths_S: Tensor,
    *,
    threshold: float,
) -> Tensor:
    """DeepSeek-V3.2's sequence mask (arXiv 2512.02556): a sequence with A < 0 that the policy has
    moved away from by more than ``threshold`` nats per token on average is left out.
    """
    drift_T = log_ratio(behaviour_T, logprobs_T).detach()
    drift_S = segment_mean(drift_T, lengths_S)
    return (advantages_T >= 0) | (spread(drift_S, lengths_S) <= threshold)


def effective_sample_size(weights_T: Tensor) -> float:
    """(sum w)^2 / (n sum w^2) in (0, 1]: the share of tokens that the weights leave in effect."""
    weights_T = weights_T.double()
    squares = float(weights_T.square().sum())
    return float(weights_T.sum()) ** 2 / (len(weights_T) * squares) if squares else 0.0
