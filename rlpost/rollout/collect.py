"""Collecting rollouts: tickets, one engine call per chunk of prompts, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.errors import boundary
from rlpost.errors import RewardError
from rlpost.protocols import Engine, GroupReward, PromptSource, Reward
from rlpost.rollout.dynamic_sampling import DynamicSampling
from rlpost.rollout.scores import group_scores, one_score
from rlpost.rollout.seeding import sampling_seeds
from rlpost.types import Completion, Group, GroupKey, Prompt, Rollout, Sampling, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The numbers of a run that every layout needs."""

    run_id: str
    seed: int
    steps: int
    groups_per_step: int
    group_size: int
    prompts_per_call: int
    """Prompts of one engine call. Part of the plan because an engine's rounding may depend on its
    batch."""
    sampling: Sampling
    policies: Path
    """Folder of the published ``policy-v{N}`` adapters."""
    dynamic_sampling: DynamicSampling | None = None
    """None: a step is made of the next prompts, whatever their groups teach."""


def ticket_at(index: int, plan: Plan, source: PromptSource, *, attempt: int = 0) -> Ticket:
    """Ticket number ``index`` of the run's prompt stream."""
    prompt = source.prompt(index)
    key = GroupKey(plan.run_id, source.epoch(index), prompt.id, attempt)
    return Ticket(index=index, key=key, prompt=prompt)


def chunks(tickets: Sequence[Ticket], size: int) -> Iterator[Sequence[Ticket]]:
    """Consecutive slices of ``tickets``: one engine call each."""
    for start in range(0, len(tickets), size):
        yield tickets[start : start + size]


def collect(
    tickets: Sequence[Ticket], *, plan: Plan, engine: Engine, reward: Reward
) -> list[Group]:
    """Sample and score ``plan.group_size`` siblings for each ticket, in ticket order."""
    completions_P_G = sample_completions(tickets, plan=plan, engine=engine)
    return [
        Group(ticket=ticket, rollouts=scored_rollouts(ticket.prompt, completions_G, reward))
        for ticket, completions_G in zip(tickets, completions_P_G, strict=True)
    ]


def sample_completions(
    tickets: Sequence[Ticket], *, plan: Plan, engine: Engine
) -> list[list[Completion]]:
    """One engine call: ``plan.group_size`` completions for each ticket, seeded by address."""
    return engine.generate(
        [ticket.prompt for ticket in tickets],
        seeds_P_G=[sampling_seeds(plan.seed, t.key, plan.group_size) for t in tickets],
        sampling=plan.sampling,
    )


def scored_rollouts(
    prompt: Prompt, completions_G: Sequence[Completion], reward: Reward
) -> tuple[Rollout, ...]:
    """Score siblings; whatever a scorer raises becomes a RewardError that names the prompt.

    So does an answer that is no score: see ``rlpost.rollout.scores``.
    """
    with boundary(RewardError, f"reward of prompt {prompt.id!r}"):
        if isinstance(reward, GroupReward):
            scores_G = group_scores(prompt, completions_G, reward.group(prompt, completions_G))
        else:
            count = len(completions_G)
            scores_G = tuple(
                one_score(prompt, i, count, reward(prompt, completion))
                for i, completion in enumerate(completions_G)
            )
    return tuple(
        Rollout(completion=completion, score=score)
        for completion, score in zip(completions_G, scores_G, strict=True)
    )
