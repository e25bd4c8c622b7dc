"""How old the policy was that sampled what a step trains on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rlpost.types import Group


def staleness_metrics(groups: Sequence[Group], version: int) -> dict[str, float]:
    """Ages in versions, seen from the policy ``version`` that is about to be updated.

    A group is as old as its oldest token; the shares are of tokens, whose policy may have changed
    within a completion.
    """
    ages_P = [version - group.version for group in groups]
    tokens = Counter(
        version - sampled_by
        for group in groups
        for rollout in group.rollouts
        for sampled_by in rollout.completion.versions_T
    )
    return {
        "staleness/mean": sum(ages_P) / len(ages_P),
        "staleness/max": float(max(ages_P)),
        **{f"staleness/share/{age}": tokens[age] / tokens.total() for age in sorted(tokens)},
    }
