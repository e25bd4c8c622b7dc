"""Credit per rank: what the item at each place of a list earned, against the group at that place.

Rank-GRPO (ConvRec-R1, arXiv 2510.20150): a list is a sequence of decisions, one per rank, and a
later item cannot have caused an earlier one. Suffixes: ``_K`` ranks, ``_G`` siblings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rlpost.credit import advantages
from rlpost.types import ListScore, Segment

Decay = Literal["exp_inf", "exp_gamma", "log"]
Scale = Literal["group_std", "none"]


def rank_rewards(
    gains_K: Sequence[float], *, decay: Decay = "exp_inf", gamma: float = 2.0
) -> tuple[float, ...]:
    """The reward of each rank: its own gain and a share of later ones, never of earlier ones.

    ``exp_inf``: the rank's own gain. ``exp_gamma``: the sum of gain_j / gamma^(j - k) over j >= k.
    ``log``: the rest of DCG, the sum of gain_j / log2(j + 2) over j >= k, with j from 0.
    """
    ranks = range(len(gains_K))
    if decay == "exp_inf":
        return tuple(gains_K)
    if decay == "exp_gamma":
        return tuple(sum(gains_K[j] / gamma ** (j - k) for j in ranks[k:]) for k in ranks)
    return tuple(sum(gains_K[j] / math.log2(j + 2) for j in ranks[k:]) for k in ranks)


def rank_advantages(
    rewards_G_K: Sequence[Sequence[float]], *, scale: Scale = "group_std"
) -> advantages.Array:
    """[G, K] -> [G, K]: each rank's reward against those of its siblings at the same rank.

    A rank at which all siblings earned the same gets exact zeros.
    """
    rewards_K_G = np.asarray(rewards_G_K, dtype=np.float64).T.tolist()
    return np.stack(advantages.group_mean(rewards_K_G, scale=scale), axis=1)


def token_advantages(
    places_G: Sequence[ListScore],
    *,
    decay: Decay = "exp_inf",
    gamma: float = 2.0,
    scale: Scale = "group_std",
    length_bonus: float = 0.1,
) -> list[tuple[float, ...]]:
    """The advantage of each token of each sibling: its rank's, plus its segment's length bonus.

    Text outside the list, and items beyond the last place, have the bonus alone.
    """
    rewards_G_K = [rank_rewards(p.gains_K, decay=decay, gamma=gamma) for p in places_G]
    credits_G = [
        dict[int | None, float](enumerate(row))
        for row in rank_advantages(rewards_G_K, scale=scale).tolist()
    ]
    return [
        tuple(
            credit.get(segment.rank, 0.0) + segment.sign * length_bonus
            for segment in places.segments
            for _ in range(segment.length)
        )
        for places, credit in zip(places_G, credits_G, strict=True)
    ]


def ratio_lengths(segments: Sequence[Segment]) -> tuple[int, ...]:
    """Tokens of each run that shares an importance ratio."""
    lengths: list[int] = []
    for segment in segments:
        if segment.joins and lengths:
            lengths[-1] += segment.length
        else:
            lengths.append(segment.length)
    return tuple(lengths)
