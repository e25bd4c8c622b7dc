"""Rules about credit: weights that name something, groups to spare, rewards that suit a change."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING

from rlpost.config.algorithm import GdpoCredit
from rlpost.config.task import IRankerTask, RecommendTask

if TYPE_CHECKING:
    from rlpost.config.run import RunConfig


def weights_name_parts(cfg: RunConfig) -> str | None:
    """A weight of a part that no reward has would train nothing, without a word."""
    credit, parts = cfg.algorithm.credit, cfg.task.reward_parts
    if not isinstance(credit, GdpoCredit):
        return None
    if not parts:
        return (
            f"algorithm.credit.kind 'gdpo' weighs parts of the reward, but the reward of task.kind "
            f"{cfg.task.kind!r} has none: use group_mean or leave_one_out"
        )
    return "\n".join(_unknown(name, cfg) for name in credit.weights if name not in parts) or None


def _unknown(name: str, cfg: RunConfig) -> str:
    parts = cfg.task.reward_parts
    folded = {part.casefold(): part for part in parts}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    return (
        f"algorithm.credit.weights.{name}: the reward of task.kind {cfg.task.kind!r} has no such "
        f"part; {hint}its parts are {', '.join(parts)}"
    )


def weights_weigh(cfg: RunConfig) -> str | None:
    credit = cfg.algorithm.credit
    if not isinstance(credit, GdpoCredit) or any(credit.weights.values()):
        return None
    return (
        "algorithm.credit.weights are all 0, so that no advantage would differ from 0: "
        "give at least one part a weight"
    )


def ranks_keep_their_credit(cfg: RunConfig) -> str | None:
    algorithm = cfg.algorithm
    if algorithm.credit.kind != "rank" or algorithm.objective.kind not in ("gspo", "gmpo"):
        return None
    return (
        f"algorithm.objective.kind {algorithm.objective.kind!r} has one ratio for a whole "
        "sequence, over which the credit of algorithm.credit.kind 'rank' would be averaged: use "
        "rank_grpo, gspo_token or clip"
    )


def unlikeliness_multiplies_no_loss(cfg: RunConfig) -> str | None:
    """As ``reward_shaping.unlikely`` would say at the first negative reward."""
    task = cfg.task
    if cfg.algorithm.reward.unlikeliness is None:
        return None
    if isinstance(task, IRankerTask):
        cause = "task.kind 'iranker' has negative ones"
    elif isinstance(task, RecommendTask) and task.invalid_penalty > 0:
        cause = f"task.invalid_penalty {task.invalid_penalty:g} makes negative ones"
    else:
        return None
    return f"algorithm.reward.unlikeliness multiplies rewards, but {cause}: remove one of the two"


def dynamic_sampling_has_room(cfg: RunConfig) -> str | None:
    dynamic = cfg.algorithm.dynamic_sampling
    if dynamic is None or (dynamic.max_ratio - 1) * cfg.groups_per_step >= 1:
        return None
    return (
        f"algorithm.dynamic_sampling.max_ratio {dynamic.max_ratio:g} lets a step of "
        f"{cfg.groups_per_step} groups leave out none, so that the first group of equal rewards "
        f"would stop the run: use at least {1 + 1 / cfg.groups_per_step:g}"
    )


CREDIT_RULES: tuple[Callable[[RunConfig], str | None], ...] = (
    weights_name_parts,
    weights_weigh,
    ranks_keep_their_credit,
    unlikeliness_multiplies_no_loss,
    dynamic_sampling_has_room,
)
"""Each gives the sentence to show, or None."""
