"""Dynamic sampling: groups that teach nothing are left out of a step, and others take their place.

DAPO, arXiv 2503.14476, section 3.2. A group is judged once, by its rewards as scored.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rlpost.credit.advantages import is_degenerate
from rlpost.errors import TrainingError
from rlpost.types import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSampling:
    """The rule of a run."""

    max_ratio: float
    """Prompts that may be tried for one group of a step, over the whole step."""

    def spare(self, groups_per_step: int) -> int:
        """Groups that a step may leave out."""
        return math.floor((self.max_ratio - 1) * groups_per_step)


def is_left_out(group: Group, rule: DynamicSampling | None) -> bool:
    """Whether the group teaches nothing, under a rule that minds."""
    return rule is not None and is_degenerate(group.rewards_G)


def common_reward(group: Group) -> float | None:
    """The reward of every completion of a group that is left out; None: none applies."""
    return next((reward for reward in group.rewards_G if not math.isnan(reward)), None)


def check_budget(
    rewards: Sequence[float | None],
    *,
    rule: DynamicSampling,
    groups_per_step: int,
    num_kept: int,
    doing: str,
    steps: int = 1,
) -> None:
    """TrainingError once more groups were left out than ``steps`` steps may leave out.

    ``rewards`` are theirs; ``num_kept`` groups were good.
    """
    spare = steps * rule.spare(groups_per_step)
    if len(rewards) <= spare:
        return
    found = ", ".join(
        f"{'none' if reward is None else format(reward, 'g')} in {count}"
        for reward, count in Counter(rewards).most_common(3)
    )
    raise TrainingError(
        f"{doing}: of {len(rewards) + num_kept} prompts tried, {len(rewards)} gave completions of "
        f"equal reward ({found}), more than the {spare} that algorithm.dynamic_sampling.max_ratio "
        f"{rule.max_ratio:g} allows: choose prompts that the policy solves now and then, or raise "
        "max_ratio, rollout.group_size or rollout.temperature"
    )


def sampling_metrics(groups: Sequence[Group], rewards: Sequence[float | None]) -> dict[str, float]:
    """Of a step's ``groups``, and of those left out since the last step by their ``rewards``."""
    kept = [statistics.fmean(r for r in g.rewards_G if not math.isnan(r)) for g in groups]
    return {
        "sampling/filtered_groups": float(len(rewards)),
        "sampling/kept_fraction": len(groups) / (len(groups) + len(rewards)),
        "sampling/reward_mean": statistics.fmean([*kept, *(r for r in rewards if r is not None)]),
    }
