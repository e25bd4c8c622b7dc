"""Rewards of the groups of one step -> advantages of their completions: pure float64 arithmetic.

Everywhere: NaN means "this reward does not apply" and gets advantage 0; a group is degenerate if
and only if its largest and smallest reward are equal, and its advantages are exactly 0 (a computed
mean of equal numbers can be off by one rounding, which division by a tiny deviation would turn into
a phantom advantage).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rewards = Sequence[Sequence[float]]
"""[P][G]; groups may differ in size."""
Scale = Literal["group_std", "batch_std", "none"]

EPSILON = 1e-4
"""Added to a standard deviation before it divides; TRL's value (verl uses 1e-6)."""


def group_mean(
    rewards_P_G: Rewards, *, scale: Scale = "group_std", epsilon: float = EPSILON
) -> list[Array]:
    """Reward minus the mean of its group (GRPO, arXiv 2402.03300, eq. 3), divided by ``scale``.

    ``group_std`` is GRPO, ``none`` is Dr. GRPO (arXiv 2503.20783), ``batch_std`` is Lite PPO (arXiv
    2508.08221). Deviations are unbiased.
    """
    return _credit(rewards_P_G, lambda values_G: values_G - values_G.mean(), scale, epsilon)


def leave_one_out(
    rewards_P_G: Rewards, *, scale: Scale = "none", epsilon: float = EPSILON
) -> list[Array]:
    """Reward minus the mean of its siblings (RLOO, arXiv 2402.14740), divided by ``scale``."""
    return _credit(rewards_P_G, _minus_siblings, scale, epsilon)


def gdpo(
    rewards_P_G_K: Sequence[Sequence[Sequence[float]]],
    *,
    weights_K: Sequence[float],
    epsilon: float = EPSILON,
) -> list[Array]:
    """Each of K rewards is standardised in its group, then summed, then standardised over the step.

    GDPO (arXiv 2601.05242): rewards of different scales keep their weight. A completion to which no
    reward applies gets exactly 0.
    """
    weights = np.asarray(weights_K, dtype=np.float64)
    tables = [
        np.asarray(group, dtype=np.float64).reshape(-1, weights.size) for group in rewards_P_G_K
    ]
    summed = [
        np.nansum(weights * np.stack([_standardised(c, epsilon) for c in table.T], axis=1), axis=1)
        for table in tables
    ]
    applies = [~np.isnan(table).all(axis=1) for table in tables]
    flat = np.concatenate([s[a] for s, a in zip(summed, applies, strict=True)])
    if not _varies(flat):
        return [np.zeros_like(s) for s in summed]
    mean, std = flat.mean(), flat.std(ddof=1)
    return [
        np.where(a, (s - mean) / (std + epsilon), 0.0) for s, a in zip(summed, applies, strict=True)
    ]


def is_degenerate(rewards_G: Sequence[float]) -> bool:
    """Whether the group teaches nothing: all applicable rewards equal, or fewer than two of
    them.
    """
    values_G = np.asarray(rewards_G, dtype=np.float64)
    return not _varies(values_G[~np.isnan(values_G)])


def _credit(
    rewards_P_G: Rewards, centre: Callable[[Array], Array], scale: Scale, epsilon: float
) -> list[Array]:
    groups = [np.asarray(rewards_G, dtype=np.float64) for rewards_G in rewards_P_G]
    batch_std = _std(np.concatenate(groups)) if scale == "batch_std" and groups else np.nan
    advantages = []
    for values_G in groups:
        result_G = np.zeros_like(values_G)
        applies_G = ~np.isnan(values_G)
        if _varies(values_G[applies_G]):
            centred = centre(values_G[applies_G])
            divisors = {"group_std": _std(values_G), "batch_std": batch_std}
            result_G[applies_G] = (
                centred if scale == "none" else centred / (divisors[scale] + epsilon)
            )
        advantages.append(result_G)
    return advantages


def _minus_siblings(values_G: Array) -> Array:
    centred_G: Array = values_G - values_G.mean()
    return centred_G * (values_G.size / (values_G.size - 1))


def _standardised(values_G: Array, epsilon: float) -> Array:
    applicable = values_G[~np.isnan(values_G)]
    if not _varies(applicable):
        return np.where(np.isnan(values_G), np.nan, 0.0)
    standardised_G: Array = (values_G - applicable.mean()) / (applicable.std(ddof=1) + epsilon)
    return standardised_G


def _varies(values: Array) -> bool:
    return values.size > 1 and bool(values.max() != values.min())


def _std(values: Array) -> float:
    applicable = values[~np.isnan(values)]
    return float(applicable.std(ddof=1)) if applicable.size > 1 else float("nan")
