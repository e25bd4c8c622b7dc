"""Credit: complete groups -> samples that carry the advantage of each token.

``CREDIT`` is the table a config chooses from. An entry takes the groups of one step and its own
parameters, so a credit may be per sequence (as here), per token or per rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from rankers.errors import UserError
from rlpost.credit import advantages, rank_advantages
from rlpost.errors import RewardError
from rlpost.types import Group, ListScore, Rollout, Sample, Stretch

Credit = Callable[[Sequence[Group]], list[Sample]]


def group_mean(groups: Sequence[Group], *, scale: advantages.Scale = "group_std") -> list[Sample]:
    """GRPO and relatives: see ``advantages.group_mean``."""
    rewards_P_G = [group.rewards_G for group in groups]
    return per_sequence(groups, advantages.group_mean(rewards_P_G, scale=scale))


def leave_one_out(groups: Sequence[Group], *, scale: advantages.Scale = "none") -> list[Sample]:
    """RLOO: see ``advantages.leave_one_out``."""
    rewards_P_G = [group.rewards_G for group in groups]
    return per_sequence(groups, advantages.leave_one_out(rewards_P_G, scale=scale))


def gdpo(groups: Sequence[Group], *, weights: Mapping[str, float]) -> list[Sample]:
    """GDPO over the parts of the reward that ``weights`` names: see ``advantages.gdpo``.

    A part that a completion's score lacks does not apply to it. UserError when no score of the step
    has any of them.
    """
    names = {name for g in groups for rollout in g.rollouts for name in rollout.score.parts}
    if groups and names.isdisjoint(weights):
        found = ", ".join(map(repr, sorted(names))) or "no parts"
        raise UserError(
            f"algorithm.credit.weights names {', '.join(map(repr, weights))}, but the scores of "
            f"the reward have {found}: name parts they have"
        )
    parts_P_G_K = [
        [[rollout.score.parts.get(name, math.nan) for name in weights] for rollout in g.rollouts]
        for g in groups
    ]
    return per_sequence(groups, advantages.gdpo(parts_P_G_K, weights_K=tuple(weights.values())))


def rank(
    groups: Sequence[Group],
    *,
    decay: rank_advantages.Decay = "exp_inf",
    gamma: float = 2.0,
    scale: rank_advantages.Scale = "group_std",
    length_bonus: float = 0.1,
) -> list[Sample]:
    """Rank-GRPO: see ``rank_credit``. UserError when the completions are no lists."""
    return [
        _sample(group, rollout, advantages_T)
        for group in groups
        for rollout, advantages_T in zip(
            group.rollouts,
            rank_advantages.token_advantages(
                [_places(group, rollout) for rollout in group.rollouts],
                decay=decay,
                gamma=gamma,
                scale=scale,
                length_bonus=length_bonus,
            ),
            strict=True,
        )
    ]


CREDIT: dict[str, Callable[..., list[Sample]]] = {
    "group_mean": group_mean,
    "leave_one_out": leave_one_out,
    "gdpo": gdpo,
    "rank": rank,
}


def per_sequence(
    groups: Sequence[Group], advantages_P_G: Iterable[Iterable[float]]
) -> list[Sample]:
    """Samples in group order, every token of a completion with the completion's advantage."""
    return [
        _sample(group, rollout, (float(advantage),) * len(rollout.completion.token_ids))
        for group, advantages_G in zip(groups, advantages_P_G, strict=True)
        for rollout, advantage in zip(group.rollouts, advantages_G, strict=True)
    ]


def _sample(group: Group, rollout: Rollout, advantages_T: tuple[float, ...]) -> Sample:
    completion, places = rollout.completion, rollout.score.places
    return Sample(
        prompt_ids=group.ticket.prompt.token_ids,
        completion_ids=completion.token_ids,
        logprobs_T=completion.logprobs_T,
        advantages_T=advantages_T,
        segments_R=() if places is None else rank_advantages.ratio_lengths(places.segments),
    )


def _places(group: Group, rollout: Rollout) -> ListScore:
    if rollout.score.places is None:
        raise UserError(
            f"algorithm.credit is 'rank' but the answers to prompt {group.ticket.prompt.id!r} are "
            "no lists: use a task that writes lists, such as recommend, or another credit"
        )
    covered = sum(segment.length for segment in rollout.score.places.segments)
    if covered != len(rollout.completion.token_ids):
        raise RewardError(
            f"the segments of an answer to prompt {group.ticket.prompt.id!r} cover {covered} of "
            f"{len(rollout.completion.token_ids)} tokens"
        )
    return rollout.score.places


def stretches(advantages_T: Sequence[float]) -> tuple[Stretch, ...]:
    """The advantages of a completion's tokens, equal neighbours together."""
    return tuple(
        Stretch(sum(1 for _ in equal), advantage) for advantage, equal in groupby(advantages_T)
    )


def mean_advantage(stretches: Sequence[Stretch]) -> float:
    """Over the tokens of a completion; 0 for one without tokens."""
    if len(stretches) < 2:
        return stretches[0].advantage if stretches else 0.0
    total = math.fsum(length * advantage for length, advantage in stretches)
    return total / sum(length for length, _ in stretches)
