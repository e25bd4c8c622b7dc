"""Scoring, here or in processes of its own: a broken or hanging scorer costs a group, no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from rlpost.errors import RewardError
from rlpost.protocols import Reward
from rlpost.rollout.collect import scored_rollouts
from rlpost.types import Completion, Prompt, Rollout, Ticket
from workers.train.cluster import ActorOptions
from workers.train.spec import RunSpec

TRIES = 2
RESTART_PAUSE_S = 0.2
"""Between two tries to reach an actor that Ray is starting anew."""

Verdict = tuple[Rollout, ...] | RewardError
"""A scored group, or why it could not be scored."""


class RewardScorer(Protocol):
    def __call__(
        self, tickets: Sequence[Ticket], completions_P_G: Sequence[Sequence[Completion]]
    ) -> list[Verdict]: ...


class LocalRewardScorer:
    """Scores in the calling process: right for pure Python rewards, which cannot hang."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward

    def __call__(
        self, tickets: Sequence[Ticket], completions_P_G: Sequence[Sequence[Completion]]
    ) -> list[Verdict]:
        return [
            self._score(ticket.prompt, completions_G)
            for ticket, completions_G in zip(tickets, completions_P_G, strict=True)
        ]

    def _score(self, prompt: Prompt, completions_G: Sequence[Completion]) -> Verdict:
        try:
            return scored_rollouts(prompt, completions_G, self._reward)
        except RewardError as error:
            return error


class RewardActor:
    """A process that scores one group per call."""

    def __init__(self, reward: Callable[[], Reward]) -> None:
        self._reward = reward()

    def ready(self) -> None:
        """Answers once the reward is built."""

    def score(self, prompt: Prompt, completions_G: Sequence[Completion]) -> tuple[Rollout, ...]:
        return scored_rollouts(prompt, completions_G, self._reward)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledRewardScorer:
    """Spreads the groups of a call over reward actors and waits ``timeout_s`` for each.

    An actor that misses it is killed, and Ray starts it anew within ``start_s``. A group whose
    actor died is scored once more.
    """

    actors: tuple[Any, ...]
    timeout_s: float
    start_s: float

    def __call__(
        self, tickets: Sequence[Ticket], completions_P_G: Sequence[Sequence[Completion]]
    ) -> list[Verdict]:
        jobs = [
            _Job(
                actor=self.actors[i % len(self.actors)], prompt=ticket.prompt, completions_G=done_G
            )
            for i, (ticket, done_G) in enumerate(zip(tickets, completions_P_G, strict=True))
        ]
        refs = [job.submit() for job in jobs]
        return [self._verdict(job, ref) for job, ref in zip(jobs, refs, strict=True)]

    def _verdict(self, job: _Job, ref: Any) -> Verdict:
        doing = f"reward of prompt {job.prompt.id!r}"
        for _ in range(TRIES):
            try:
                rollouts: tuple[Rollout, ...] = ray.get(ref, timeout=self.timeout_s)
                return rollouts
            except GetTimeoutError:
                ray.kill(job.actor, no_restart=False)
                self._await_restart(job.actor)
                return RewardError(f"{doing}: not done after {self.timeout_s:g} s")
            except RayActorError:
                self._await_restart(job.actor)
                ref = job.submit()
            except RayTaskError as error:
                if isinstance(error.cause, RewardError):
                    return error.cause
                raise
        return RewardError(f"{doing}: the scoring process died {TRIES} times")

    def _await_restart(self, actor: Any) -> None:
        give_up = time.monotonic() + self.start_s
        while (left := give_up - time.monotonic()) > 0:
            try:
                return ray.get(actor.ready.remote(), timeout=left)  # type: ignore[no-any-return]
            except RayActorError:
                time.sleep(RESTART_PAUSE_S)
            except GetTimeoutError:
                break
        raise RewardError(f"a reward worker did not start again in {self.start_s:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    actor: Any
    prompt: Prompt
    completions_G: Sequence[Completion]

    def submit(self) -> Any:
        return self.actor.score.remote(self.prompt, self.completions_G)


def start_pool(spec: RunSpec, options: ActorOptions) -> PooledRewardScorer:
    """``spec.resources.reward_workers`` processes that score."""
    remote = ray.remote(RewardActor).options(num_cpus=0, max_restarts=-1, **options)
    actors = tuple(remote.remote(spec.reward) for _ in range(spec.resources.reward_workers))
    return PooledRewardScorer(
        actors=actors,
        timeout_s=spec.resources.reward_timeout_s,
        start_s=spec.streaming.start_s,
    )
