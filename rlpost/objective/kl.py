"""Per-token estimates of KL(policy || reference) from the tokens that the policy sampled.

With d = log pi - log pi_ref of the sampled token (Schulman, "Approximating KL divergence", 2020).
As a term of the loss only the gradient counts: that of k1 is 1 whatever the reference, that of k3
is biased; ``k2`` and ``k3_plus`` have the right one in expectation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.objective.losses import log_ratio

Estimator = Callable[[Tensor, Tensor], Tensor]
"""(logprobs_T, reference_T) -> nats per token."""


def k1(logprobs_T: Tensor, reference_T: Tensor) -> Tensor:
    """d: unbiased, negative for half of the tokens. For use in rewards."""
    return log_ratio(logprobs_T, reference_T)


def k2(logprobs_T: Tensor, reference_T: Tensor) -> Tensor:
    """d^2 / 2: biased, but its gradient d is that of the KL in expectation."""
    return log_ratio(logprobs_T, reference_T).square() / 2


def k3(logprobs_T: Tensor, reference_T: Tensor) -> Tensor:
    """exp(-d) + d - 1: unbiased and never negative."""
    difference_T = log_ratio(logprobs_T, reference_T)
    return torch.expm1(-difference_T) + difference_T


def k3_plus(logprobs_T: Tensor, reference_T: Tensor) -> Tensor:
    """The value of k3 with the gradient of k2, straight through."""
    right_gradient_T = k2(logprobs_T, reference_T)
    return k3(logprobs_T, reference_T).detach() + right_gradient_T - right_gradient_T.detach()


def absolute(logprobs_T: Tensor, reference_T: Tensor) -> Tensor:
    """|d|: how far apart the two are at the sampled tokens; no estimate of the KL."""
    return log_ratio(logprobs_T, reference_T).abs()


KL: dict[str, Estimator] = {
    "k1": k1,
    "k2": k2,
    "k3": k3,
    "k3_plus": k3_plus,
    "absolute": absolute,
}


def bias_corrected(kl_T: Tensor, logprobs_T: Tensor, old_T: Tensor) -> Tensor:
    """``kl_T`` times the ratio to the sampling policy, through which the gradient flows too.

    Makes k3 unbiased when tokens come from an older policy (DeepSeek-V3.2, arXiv 2512.02556).
    """
    return kl_T * log_ratio(logprobs_T, old_T).exp()


Penalty = Callable[[Tensor, SampledTokens], Tensor]
"""(logprobs_T, sampled with a reference) -> what is added to each token's loss."""


def penalty(
    estimator: Estimator,
    logprobs_T: Tensor,
    sampled: SampledTokens,
    *,
    coefficient: float,
    bias_correction: bool = False,
) -> Tensor:
    """``coefficient`` times the estimate. ValueError without reference log-probabilities."""
    if sampled.reference_T is None:
        raise ValueError("a KL penalty needs the reference policy's log-probabilities")
    kl_T = estimator(logprobs_T, sampled.reference_T)
    if bias_correction:
        kl_T = bias_corrected(kl_T, logprobs_T, sampled.old_T)
    return coefficient * kl_T


RewardPenalty = Callable[[Tensor, Tensor], Tensor]
"""(logprobs_T, reference_T) -> what each token takes from its completion's reward."""


def reward_penalty(
    estimator: Estimator, logprobs_T: Tensor, reference_T: Tensor, *, coefficient: float
) -> Tensor:
    """``coefficient`` times the estimate of the policy that sampled (PPO with a KL reward, arXiv
    1909.08593).
    """
    return coefficient * estimator(logprobs_T, reference_T)


REWARD_PENALTIES: dict[str, Callable[..., Tensor]] = {
    name: partial(reward_penalty, estimator) for name, estimator in KL.items()
}
PENALTIES: dict[str, Callable[..., Tensor]] = {
    name: partial(penalty, estimator) for name, estimator in KL.items()
}
