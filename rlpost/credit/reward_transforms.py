"""Reward shaping: a group's rewards -> other rewards, before credit. Pure float64 arithmetic.

``TRANSFORMS`` is the table a config chooses from. A transform takes a scored group and its own
parameters and gives the group's new rewards. Whether a group has anything to teach is decided on
the rewards before shaping: a shaped constant group would be noise that pushes the policy around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rankers.errors import UserError
from rlpost.credit.advantages import is_degenerate
from rlpost.types import Completion, Group

Array = NDArray[np.float64]
Formula = Literal["paper", "released"]
LikelihoodKind = Literal["sum", "mean"]
Ties = Literal["average", "first"]
Transform = Callable[[Group], Sequence[float]]


def shaped(groups: Sequence[Group], transforms: Sequence[Transform]) -> list[Group]:
    """The groups with ``transforms`` applied to their rewards, one after the other.

    A group that is degenerate as it was scored stays as it is: it gets no credit.
    """
    return [
        group if is_degenerate(group.rewards_G) else _shaped(group, transforms) for group in groups
    ]


def _shaped(group: Group, transforms: Sequence[Transform]) -> Group:
    for transform in transforms:
        rewards_G = transform(group)
        rollouts = tuple(
            replace(rollout, score=replace(rollout.score, total=float(reward)))
            for rollout, reward in zip(group.rollouts, rewards_G, strict=True)
        )
        group = replace(group, rollouts=rollouts)
    return group


def shaping_metrics(groups: Sequence[Group], transforms: Sequence[Transform]) -> dict[str, float]:
    """The mean reward of the step that credit is made from; empty without transforms."""
    if not transforms:
        return {}
    rewards = [reward for group in shaped(groups, transforms) for reward in group.rewards_G]
    return {"reward/shaped_mean": float(np.nanmean(rewards))}


def overlong(group: Group, *, limit: int, margin: int, penalty: float = 1.0) -> list[float]:
    """Each reward plus ``penalty`` times its completion's ``overlong_penalty``."""
    return [
        rollout.score.total
        + penalty * overlong_penalty(len(rollout.completion.token_ids), limit=limit, margin=margin)
        for rollout in group.rollouts
    ]


def unlikely(
    group: Group,
    *,
    beta: float = 0.25,
    formula: Formula = "paper",
    likelihood: LikelihoodKind = "sum",
    ties: Ties = "average",
) -> Sequence[float]:
    """``unlikeliness`` by the log-probabilities under which the completions were sampled.

    ``sum`` orders by the probability of the sequence, ``mean`` by that of its average token. Raises
    UserError for a negative reward, which a factor below 1 would raise.
    """
    negative = [reward for reward in group.rewards_G if reward < 0]
    if negative:
        raise UserError(
            f"unlikeliness multiplies rewards, which must not be negative, but prompt "
            f"{group.key.prompt_id!r} has a reward of {min(negative):g}: shift the task's rewards "
            "to 0 and above, or remove algorithm.reward.unlikeliness"
        )
    likelihoods_G = [_LIKELIHOODS[likelihood](rollout.completion) for rollout in group.rollouts]
    shaped_G = unlikeliness(
        group.rewards_G, likelihoods_G, beta=beta, formula=formula, ties=ties
    ).tolist()
    return shaped_G  # type: ignore[no-any-return]  # numpy's tolist is untyped


TRANSFORMS: dict[str, Callable[..., Sequence[float]]] = {
    "unlikeliness": unlikely,
    "overlong": overlong,
}


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
    ties: Ties = "average",
) -> Array:
    """Rewards of likely completions lowered, so that rare correct ones gain (arXiv 2506.02355).

    ``likelihoods_G`` orders all siblings, also those with reward 0: log-probabilities of the
    sequences, or their means over tokens as the released code has it. ``paper`` multiplies by
    1 - beta (likeliest) up to 1 - beta / G (least likely), ``released`` by beta / G more. Equal
    likelihoods share their ``average`` rank, so equal completions keep equal rewards; with
    ``first`` the earlier sibling counts as the less likely one, as a stable sort has it. A
    degenerate group is returned as it is.
    """
    rewards = np.asarray(rewards_G, dtype=np.float64)
    if is_degenerate(rewards_G):
        return rewards
    size = len(rewards)
    from_unlikely_G = _RANKS[ties](np.asarray(likelihoods_G, dtype=np.float64))
    lowered_G = from_unlikely_G + (1 if formula == "paper" else 0)
    shaped_G: Array = rewards * (1 - beta * lowered_G / size)
    return shaped_G


def _average_ranks(values: Array) -> Array:
    """0 for the smallest; ties share the average of their places."""
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    ranks: Array = below + (equal - 1) / 2
    return ranks


def _first_ranks(values: Array) -> Array:
    """0 for the smallest; of equal values the earlier one has the smaller rank."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


_RANKS: dict[Ties, Callable[[Array], Array]] = {"average": _average_ranks, "first": _first_ranks}


def _mean_logprob(completion: Completion) -> float:
    return _sum_logprob(completion) / max(1, len(completion.logprobs_T))


def _sum_logprob(completion: Completion) -> float:
    return float(sum(completion.logprobs_T))


_LIKELIHOODS: dict[LikelihoodKind, Callable[[Completion], float]] = {
    "sum": _sum_logprob,
    "mean": _mean_logprob,
}
