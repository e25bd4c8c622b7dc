"""The synchronous training loop on one screen: the specification that ``workers`` distributes.

    prompts -> engine @ version v -> rollouts -> reward -> groups -> learner -> adapter v+1 ->
    engine

With dynamic sampling, groups that teach nothing are replaced before the learner sees them.

``workers.train.driver`` runs the same functions in other processes; with ``max_lag: 0`` it
reproduces this loop bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rlpost.protocols import CreditedLearner, Engine, Learner, PromptSource, Reward
from rlpost.rollout.collect import Plan, chunks, collect, ticket_at
from rlpost.rollout.dynamic_sampling import (
    check_budget,
    common_reward,
    is_left_out,
    sampling_metrics,
)
from rlpost.types import Group, Stretch


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
