"""Objectives: log-probabilities of sampled tokens -> loss of each token, to be minimised.

An objective is ``f(logprobs_T, sampled, **parameters) -> loss_T`` and one line of ``OBJECTIVES``.
It knows neither how losses are averaged (``aggregation``) nor where advantages come from
(``credit``). Objectives on whole sequences give every token of a sequence the sequence's loss, so
that every aggregation applies to them.

Log-ratios are clamped to +-20 nats before ``exp``: no gap between the two policies can make an
infinity or a NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.batch.segment_ops import segment_mean, segment_sum, spread

MAX_LOG_RATIO = 20.0


Objective = Callable[[Tensor, SampledTokens], Tensor]


def reinforce(logprobs_T: Tensor, sampled: SampledTokens) -> Tensor:
    """-A log pi: the plain policy gradient (Williams 1992); ignores the old policy."""
    return -sampled.advantages_T * _full_precision(logprobs_T)


def clip(
    logprobs_T: Tensor,
    sampled: SampledTokens,
    *,
    low: float = 0.2,
    high: float = 0.2,
    delta: float | None = None,
    dual: float | None = None,
) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A): PPO (arXiv 1707.06347, eq. 7); DAPO with ``high`` >
    ``low``.

    ``delta`` caps r itself, also where A < 0 (INTELLECT-2, arXiv 2505.07291). ``dual`` > 1 bounds
    the loss of tokens with A < 0 by -dual * A (dual-clip PPO, arXiv 1912.09729).
    """
    ratio_T = log_ratio(logprobs_T, sampled.old_T).exp()
    return _clipped(ratio_T, sampled.advantages_T, low=low, high=high, delta=delta, dual=dual)


def gspo(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 3e-4, high: float = 4e-4
) -> Tensor:
    """The clipped objective on the geometric mean of a sequence's ratios (GSPO, arXiv 2507.18071,
    eq. 7).

    With aggregation ``sequence_sum`` it is LUSPO (arXiv 2602.05261).
    """
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T)
    ratio_S = segment_mean(log_ratio_T, sampled.lengths_S).exp()
    ratio_T = spread(ratio_S, sampled.lengths_S)
    return _clipped(ratio_T, sampled.advantages_T, low=low, high=high)


def rank_grpo(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 0.06, high: float = 0.08
) -> Tensor:
    """The clipped objective on the geometric mean of a rank's ratios (Rank-GRPO, arXiv 2510.20150).

    Defaults are the released code's. With aggregation ``rank_mean`` it averages over ranks, as in
    the paper; the released code averages over tokens.
    """
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T)
    ratio_R = segment_mean(log_ratio_T, sampled.lengths_R).exp()
    ratio_T = spread(ratio_R, sampled.lengths_R)
    return _clipped(ratio_T, sampled.advantages_T, low=low, high=high)


def gspo_token(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 3e-4, high: float = 4e-4
) -> Tensor:
    """GSPO's value with a gradient of its own per token (arXiv 2507.18071, eq. 13): for advantages
    per token.
    """
    new_T = _full_precision(logprobs_T)
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T).detach()
    sequence_T = spread(segment_mean(log_ratio_T, sampled.lengths_S), sampled.lengths_S)
    ratio_T = (sequence_T + new_T - new_T.detach()).exp()
    return _clipped(ratio_T, sampled.advantages_T, low=low, high=high)


def cispo(logprobs_T: Tensor, sampled: SampledTokens, *, cap: float = 5.0) -> Tensor:
    """-sg(min(r, cap)) A log pi: weights are capped, no token loses its gradient (MiniMax-M1, arXiv
    2506.13585).

    ``cap`` is the weight itself, as in ScaleRL (arXiv 2510.13786) and TRL; for verl's band see
    ``cispo_band``.
    """
    weight_T = log_ratio(logprobs_T, sampled.old_T).detach().exp().clamp(max=cap)
    return -weight_T * sampled.advantages_T * _full_precision(logprobs_T)


def cispo_band(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 0.2, high: float = 0.2
) -> Tensor:
    """CISPO with weights kept in [1 - low, 1 + high]: what verl calls ``cispo``."""
    weight_T = log_ratio(logprobs_T, sampled.old_T).detach().exp().clamp(1 - low, 1 + high)
    return -weight_T * sampled.advantages_T * _full_precision(logprobs_T)


def sapo(
    logprobs_T: Tensor, sampled: SampledTokens, *, tau_up: float = 1.0, tau_down: float = 1.05
) -> Tensor:
    """A sigmoid gate in place of the clip: -(4 / tau) sigmoid(tau (r - 1)) A (SAPO, arXiv
    2511.20347).

    ``tau_up`` serves A > 0, ``tau_down`` the rest. The gradient at r = 1 is the plain policy
    gradient.
    """
    ratio_T = log_ratio(logprobs_T, sampled.old_T).exp()
    up_T = torch.full_like(ratio_T, tau_up)
    tau_T = up_T.where(sampled.advantages_T > 0, tau_down)
    return -(4.0 / tau_T) * torch.sigmoid(tau_T * (ratio_T - 1)) * sampled.advantages_T


def gmpo(logprobs_T: Tensor, sampled: SampledTokens, *, band: float = 0.4) -> Tensor:
    """-A exp(mean of one-sidedly clipped log-ratios): the geometric mean (GMPO, arXiv 2507.20673,
    eq. 3).

    Log-ratios are clipped to [-band, band] on the side where clipping makes the objective
    pessimistic.
    """
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T)
    banded_T = log_ratio_T.clamp(-band, band)
    pessimistic_T = torch.where(
        sampled.advantages_T > 0,
        torch.minimum(log_ratio_T, banded_T),
        torch.maximum(log_ratio_T, banded_T),
    )
    ratio_S = segment_mean(pessimistic_T, sampled.lengths_S).exp()
    return -spread(ratio_S, sampled.lengths_S) * sampled.advantages_T


def vespo(
    logprobs_T: Tensor,
    sampled: SampledTokens,
    *,
    k_up: float = 2.0,
    lambda_up: float = 3.0,
    k_down: float = 3.0,
    lambda_down: float = 2.0,
) -> Tensor:
    """-sg(phi(W)) A log pi with W the product of a sequence's ratios (VESPO, arXiv 2602.10693).

    phi(W) = W^k exp(lambda (1 - W)) is 1 at W = 1 and fades on both sides; (k, lambda) depend on
    the sign of A. Off-policy weights enter W, so they do not multiply the loss once more.
    """
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T).detach()
    if sampled.weights_T is not None:
        log_ratio_T = log_ratio_T + sampled.weights_T.clamp(min=1e-8).log()
    log_weight_S = segment_sum(log_ratio_T, sampled.lengths_S)
    log_weight_T = spread(log_weight_S.clamp(-18.420680743952367, MAX_LOG_RATIO), sampled.lengths_S)
    rises = sampled.advantages_T >= 0
    k_T = torch.where(rises, k_up, k_down)
    lambda_T = torch.where(rises, lambda_up, lambda_down)
    phi_T = (lambda_T + k_T * log_weight_T - lambda_T * log_weight_T.exp()).exp()
    return -phi_T * sampled.advantages_T * _full_precision(logprobs_T)


OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "reinforce": reinforce,
    "clip": clip,
    "gspo": gspo,
    "gspo_token": gspo_token,
    "rank_grpo": rank_grpo,
    "cispo": cispo,
    "cispo_band": cispo_band,
    "sapo": sapo,
    "gmpo": gmpo,
    "vespo": vespo,
}
WEIGHTED = frozenset({"vespo"})
"""Objectives that use off-policy weights themselves."""


def log_ratio(new_T: Tensor, old_T: Tensor) -> Tensor:
    """log(pi_new / pi_old), at least in float32, within +-20 nats."""
    difference_T = _full_precision(new_T) - _full_precision(old_T)
    return difference_T.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def _full_precision(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _clipped(
    ratio_T: Tensor,
    advantages_T: Tensor,
    *,
    low: float,
    high: float,
    delta: float | None = None,
    dual: float | None = None,
) -> Tensor:
    loss_mask_T = ratio_T.clamp(1 - low, 1 + high)
    capped_T = ratio_T if delta is None else ratio_T.clamp(max=delta)
    loss_T = -torch.minimum(capped_T * advantages_T, loss_mask_T * advantages_T)
    if dual is None:
        return loss_T
    return torch.where(advantages_T < 0, torch.minimum(loss_T, -dual * advantages_T), loss_T)
