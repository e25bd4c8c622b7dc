"""The synchronous training loop on one screen: the specification that ``workers`` distributes.

    prompts -> engine @ version v -> rollouts -> reward -> groups -> learner -> adapter v+1 ->
    engine

With dynamic sampling, groups that teach nothing are replaced before the learner sees them.

``workers.driver`` runs the same functions in other processes; with ``max_lag: 0`` it reproduces
this loop bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlpost.dynamic_sampling import (
    DynamicSampling,
    check_budget,
    common_reward,
    is_left_out,
    sampling_metrics,
)
from rlpost.errors import RewardError, boundary
from rlpost.ports import CreditedLearner, Engine, GroupReward, Learner, PromptSource, Reward
from rlpost.scores import group_scores, one_score
from rlpost.seeding import sampling_seeds
from rlpost.types import (
    Completion,
    Group,
    GroupKey,
    Prompt,
    Rollout,
    Sampling,
    Stretch,
    Ticket,
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What an observer learns about one finished step."""

    step: int
    """1 for the first: the learner's version after the step."""
    groups: tuple[Group, ...]
    metrics: Mapping[str, float]
    advantages_P_G: Sequence[Sequence[Sequence[Stretch]]] = ()
    """What each completion was trained on with; empty when the learner does not tell."""


def train(
    *,
    plan: Plan,
    source: PromptSource,
    engine: Engine,
    reward: Reward,
    learner: Learner,
    observe: Callable[[StepRecord], None],
    start: int | None = None,
) -> None:
    """Run steps ``learner.version .. plan.steps``; everything that can go wrong raises.

    ``start`` is the position in the prompt stream to begin at. Without dynamic sampling it follows
    from the learner's version; with it, a run goes on right behind the last group it trained on.
    """
    position = learner.version * plan.groups_per_step if start is None else start
    engine.load(learner.publish(plan.policies))
    while learner.version < plan.steps:
        groups, left_out = groups_of_step(
            position, plan=plan, source=source, engine=engine, reward=reward
        )
        position = groups[-1].ticket.index + 1
        metrics = learner.step(groups)
        if plan.dynamic_sampling is not None:
            metrics = {**metrics, **sampling_metrics(groups, left_out)}
        engine.load(learner.publish(plan.policies))
        observe(
            StepRecord(
                step=learner.version,
                groups=tuple(groups),
                metrics=metrics,
                advantages_P_G=advantages_of(learner),
            )
        )


def advantages_of(learner: Learner) -> Sequence[Sequence[Sequence[Stretch]]]:
    """What the learner trained on in its last step; empty when it does not tell."""
    return learner.advantages_P_G if isinstance(learner, CreditedLearner) else ()


def groups_of_step(
    position: int, *, plan: Plan, source: PromptSource, engine: Engine, reward: Reward
) -> tuple[list[Group], list[float | None]]:
    """The step's groups from ``position`` of the stream on, and the rewards of those left out.

    What is missing after a round of prompts is asked for in another round. Raises TrainingError
    when dynamic sampling leaves out more than it may.
    """
    groups: list[Group] = []
    left_out: list[float | None] = []
    while missing := plan.groups_per_step - len(groups):
        tickets = [ticket_at(position + i, plan, source) for i in range(missing)]
        position += missing
        for chunk in chunks(tickets, plan.prompts_per_call):
            for group in collect(chunk, plan=plan, engine=engine, reward=reward):
                if is_left_out(group, plan.dynamic_sampling):
                    left_out.append(common_reward(group))
                else:
                    groups.append(group)
        if plan.dynamic_sampling is not None:
            check_budget(
                left_out,
                rule=plan.dynamic_sampling,
                groups_per_step=plan.groups_per_step,
                num_kept=len(groups),
                doing="sampling the groups of a step",
            )
    return groups, left_out


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
    completions_P_G = sample(tickets, plan=plan, engine=engine)
    return [
        Group(ticket=ticket, rollouts=scored(ticket.prompt, completions_G, reward))
        for ticket, completions_G in zip(tickets, completions_P_G, strict=True)
    ]


def sample(tickets: Sequence[Ticket], *, plan: Plan, engine: Engine) -> list[list[Completion]]:
    """One engine call: ``plan.group_size`` completions for each ticket, seeded by address."""
    return engine.generate(
        [ticket.prompt for ticket in tickets],
        seeds_P_G=[sampling_seeds(plan.seed, t.key, plan.group_size) for t in tickets],
        sampling=plan.sampling,
    )


def scored(
    prompt: Prompt, completions_G: Sequence[Completion], reward: Reward
) -> tuple[Rollout, ...]:
    """Score siblings; whatever a scorer raises becomes a RewardError that names the prompt.

    So does an answer that is no score: see ``rlpost.scores``.
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
