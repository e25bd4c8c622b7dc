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

from rlpost.batch.segment_ops import segment_mean, segment_sum, spread
from rlpost.objective.losses import log_ratio

Level = Literal["token", "sequence", "geometric"]


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
    normalise: bool = False,
) -> Tensor:
    """rho clamped to [low, high]: truncated importance sampling (TIS)."""
    rho_T = ratio(proximal_T, behaviour_T, lengths_S, level=level)
    weights_T = rho_T.clamp(low, high)
    return self_normalised(weights_T, lengths_S, level=level) if normalise else weights_T


def masked(
    proximal_T: Tensor,
    behaviour_T: Tensor,
    lengths_S: Tensor,
    *,
    level: Level = "token",
    low: float = 0.0,
    high: float = 2.0,
    normalise: bool = False,
) -> Tensor:
    """rho inside [low, high] and 0 outside: masked importance sampling (MIS, IcePop)."""
    rho_T = ratio(proximal_T, behaviour_T, lengths_S, level=level)
    weights_T = rho_T.where((rho_T >= low) & (rho_T <= high), 0.0)
    return self_normalised(weights_T, lengths_S, level=level) if normalise else weights_T


Correction = Callable[..., Tensor]


def unweighted(proximal_T: Tensor, behaviour_T: Tensor, lengths_S: Tensor) -> Tensor:
    """1: only the objective's ratio changes, which is then against the policy before the step.

    What AReaL does where no bound is set: stale tokens are clipped by how far the step moved, and
    where they came from is ignored.
    """
    return torch.ones_like(log_ratio(proximal_T, behaviour_T))


CORRECTIONS: dict[str, Correction] = {
    "truncated": truncated,
    "masked": masked,
    "unweighted": unweighted,
}


def self_normalised(weights_T: Tensor, lengths_S: Tensor, *, level: Level) -> Tensor:
    """Weights scaled to mean 1: over tokens, or for sequence levels over sequences."""
    if level == "token":
        return weights_T / weights_T.mean().clamp(min=1e-8)
    trained = lengths_S > 0
    return weights_T / segment_mean(weights_T, lengths_S)[trained].mean().clamp(min=1e-8)


def effective_sample_size(weights_T: Tensor) -> float:
    """(sum w)^2 / (n sum w^2) in (0, 1]: the share of tokens that the weights leave in effect."""
    weights_T = weights_T.double()
    squares = float(weights_T.square().sum())
    return float(weights_T.sum()) ** 2 / (len(weights_T) * squares) if squares else 0.0
