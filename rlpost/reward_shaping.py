"""Reward shaping: a group's rewards -> other rewards, before credit. Pure float64 arithmetic.

Whether a group has anything to teach is decided on the rewards before shaping: a shaped constant
group would be noise that pushes the policy around.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlpost.advantages import is_degenerate

Array = NDArray[np.float64]
Formula = Literal["paper", "released"]


def overlong_penalty(length: int, *, limit: int, margin: int) -> float:
    """0 up to ``limit - margin`` tokens, then linearly to -1 at ``limit`` and beyond.

    Soft overlong punishment (DAPO, arXiv 2503.14476, eq. 13), to be added to the reward.
    """
    return min(0.0, max(-1.0, (limit - margin - length) / margin))


def unlikeliness(
    rewards_G: Sequence[float],
    likelihoods_G: Sequence[float],
    *,
    beta: float = 0.25,
    formula: Formula = "paper",
) -> Array:
    """Rewards of likely completions lowered, so that rare correct ones gain (arXiv 2506.02355).

    ``likelihoods_G`` orders the siblings: log-probabilities of the sequences, or their means over
    tokens as the released code has it. ``paper`` multiplies by 1 - beta (likeliest) up to
    1 - beta / G (least likely), ``released`` by beta / G more. Equal likelihoods share their
    average rank, so equal completions keep equal rewards. A degenerate group is returned as it is.
    """
    rewards = np.asarray(rewards_G, dtype=np.float64)
    if is_degenerate(rewards_G):
        return rewards
    size = len(rewards)
    from_unlikely_G = _average_ranks(np.asarray(likelihoods_G, dtype=np.float64))
    lowered_G = from_unlikely_G + (1 if formula == "paper" else 0)
    shaped_G: Array = rewards * (1 - beta * lowered_G / size)
    return shaped_G


def _average_ranks(values: Array) -> Array:
    """0 for the smallest; ties share the average of their places."""
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    ranks: Array = below + (equal - 1) / 2
    return ranks
