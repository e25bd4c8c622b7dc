"""Uplift rate: whose probability an update raises, by how likely the completion was before it.

The rank bias of GRPO (arXiv 2506.02355, section 3): good completions that were likely already gain,
rare ones hardly do. Pure arithmetic on what was measured; plain counts, so that steps add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlpost.credit.advantages import Rewards, is_degenerate

MAX_BINS = 8
RAISED, COUNTED = "uplift/raised/", "uplift/counted/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplift:
    """Good completions by their place among their siblings, the likeliest ones in the first bin."""

    raised_B: tuple[int, ...]
    """How many of them became more likely."""
    counted_B: tuple[int, ...]

    @property
    def rates_B(self) -> tuple[float, ...]:
        """Share of each bin that became more likely; NaN for an empty one."""
        pairs = zip(self.raised_B, self.counted_B, strict=True)
        return tuple(raised / counted if counted else float("nan") for raised, counted in pairs)

    def metrics(self) -> dict[str, float]:
        """Under names of ``metrics.FAMILIES``, bins from 1."""
        named = {RAISED: self.raised_B, COUNTED: self.counted_B}
        return {
            f"{prefix}{bin_}": float(count)
            for prefix, counts_B in named.items()
            for bin_, count in enumerate(counts_B, start=1)
        }


def uplift(before_P_G: Rewards, after_P_G: Rewards, rewards_P_G: Rewards) -> Uplift:
    """Compare log-probabilities of whole completions before and after one or more updates.

    A completion is good when its reward is above the mean of its group, so a group of equal rewards
    has none. Ranks are cut into at most ``MAX_BINS`` bins; groups may differ in size. Of equally
    likely siblings the earlier one has the better rank.
    """
    bins = min(MAX_BINS, max((len(rewards_G) for rewards_G in rewards_P_G), default=1))
    raised_B, counted_B = np.zeros(bins, dtype=np.int64), np.zeros(bins, dtype=np.int64)
    for before_G, after_G, rewards_G in zip(before_P_G, after_P_G, rewards_P_G, strict=True):
        if is_degenerate(rewards_G):
            continue
        rewards = np.asarray(rewards_G, dtype=np.float64)
        good_G = rewards > np.nanmean(rewards)
        bins_G = _ranks(before_G) * bins // len(rewards)
        raised_G = np.asarray(after_G) > np.asarray(before_G)
        np.add.at(counted_B, bins_G[good_G], 1)
        np.add.at(raised_B, bins_G[good_G & raised_G], 1)
    return Uplift(raised_B=tuple(raised_B.tolist()), counted_B=tuple(counted_B.tolist()))


def pooled(steps: Sequence[Mapping[str, float]]) -> Uplift | None:
    """All that the steps of a run recorded under ``Uplift.metrics``; None when none did."""
    bins = max((_bins_of(step) for step in steps), default=0)
    if not bins:
        return None

    def total(prefix: str) -> tuple[int, ...]:
        names = [f"{prefix}{bin_}" for bin_ in range(1, bins + 1)]
        return tuple(int(sum(step.get(name, 0) for step in steps)) for name in names)

    return Uplift(raised_B=total(RAISED), counted_B=total(COUNTED))


def _bins_of(step: Mapping[str, float]) -> int:
    return sum(name.startswith(COUNTED) for name in step)


def _ranks(logprobs_G: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """0 for the likeliest."""
    order = np.argsort(-np.asarray(logprobs_G, dtype=np.float64), kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
