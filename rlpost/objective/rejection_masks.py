"""Rejection: which sampled tokens to learn from, by how far the sampling policy was from ours.

Masks for tokens of another policy than the one that learns, to be combined freely with the weights
of ``correction``. ``REJECTIONS`` judge once per step, by the policy before its first update;
``SEQUENCE_MASKS`` judge at every update, by the policy as it is then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.batch.segment_ops import segment_max, segment_mean, segment_sum, spread
from rlpost.objective.losses import log_ratio

Divergence = Literal["ratio", "k2", "k3", "k3_reverse"]
Scope = Literal["token", "sum", "mean", "max"]
Rejection = Callable[..., Tensor]
"""(proximal_T, behaviour_T, lengths_S, **parameters) -> loss_mask_T, True for tokens to learn
from.
"""


def bounds(
    proximal_T: Tensor,
    behaviour_T: Tensor,
    lengths_S: Tensor,
    *,
    divergence: Divergence,
    scope: Scope,
    low: float = 0.0,
    high: float,
) -> Tensor:
    """Kept is where ``low <= divergence <= high``.

    The divergence is of each token, or of whole sequences by the sum, mean or maximum over their
    tokens. ``ratio`` bounds rho = pi_proximal / pi_behaviour itself (its geometric mean for
    ``mean``, its product for ``sum``); with d = log rho, ``k2`` is d^2 / 2, ``k3`` is rho - 1 - d
    as in verl, and ``k3_reverse`` the same of 1 / rho as in AReaL.
    """
    value_T = DIVERGENCES[divergence](log_ratio(proximal_T, behaviour_T).detach())
    if scope != "token":
        value_T = spread(SCOPES[scope](value_T, lengths_S), lengths_S)
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


def m2po(proximal_T: Tensor, behaviour_T: Tensor, _: Tensor, *, threshold: float) -> Tensor:
    """The largest d^2 are dropped until the mean of the rest is below ``threshold`` (M2PO, arXiv
    2510.01161).

    At least one token is kept.
    """
    squares_T = log_ratio(proximal_T, behaviour_T).detach().square()
    ascending_T, order_T = squares_T.sort(stable=True)
    means_T = ascending_T.cumsum(0) / torch.arange(1, len(squares_T) + 1, device=squares_T.device)
    count = max(int((means_T < threshold).sum()), 1)
    loss_mask_T = torch.zeros_like(squares_T, dtype=torch.bool)
    loss_mask_T[order_T[:count]] = True
    return loss_mask_T


REJECTIONS: dict[str, Rejection] = {"bounds": bounds, "m2po": m2po}
STEP_WIDE = frozenset({"m2po"})
"""Rejections that compare a token with all others of the step."""


def drift(logprobs_T: Tensor, sampled: SampledTokens, *, threshold: float) -> Tensor:
    """DeepSeek-V3.2's off-policy sequence mask (arXiv 2512.02556): a sequence with A < 0 that the
    policy has moved away from by more than ``threshold`` nats per token on average is left out.
    """
    drift_T = log_ratio(sampled.behaviour_T, logprobs_T).detach()
    drift_S = segment_mean(drift_T, sampled.lengths_S)
    return (sampled.advantages_T >= 0) | (spread(drift_S, sampled.lengths_S) <= threshold)


SequenceMask = Callable[[Tensor, SampledTokens], Tensor]
"""(logprobs_T, sampled) -> loss_mask_T."""

SEQUENCE_MASKS: dict[str, Callable[..., Tensor]] = {"drift": drift}


def top_entropy(entropy_T: Tensor, *, share: float) -> Tensor:
    """True for the ``share`` of tokens with the highest entropy (arXiv 2506.01939).

    The threshold is the (1 - share) quantile over all tokens given; ties with it are kept.
    """
    if not len(entropy_T):
        return torch.ones_like(entropy_T, dtype=torch.bool)
    ascending_T = entropy_T.detach().double().sort().values
    place = (1 - share) * (len(ascending_T) - 1)
    low, part = int(place), place - int(place)
    threshold = ascending_T[low]
    if part:
        threshold = torch.lerp(threshold, ascending_T[low + 1], part)
    return entropy_T.double() >= threshold
