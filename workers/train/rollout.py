"""The rollout worker: an engine, a scorer, the way to the queue. A shell around ``rlpost.loop``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rankers.errors import boundary
from rlpost.errors import EngineError, RewardError
from rlpost.protocols import Engine, Reward
from rlpost.rollout.collect import Plan, sample_completions
from rlpost.rollout.dynamic_sampling import common_reward, is_left_out
from rlpost.streaming.messages import PutAnswer, serialize
from rlpost.types import Completion, Group, PolicyRef, Prompt, Sampling, Ticket
from workers.train.queue import QueueClient
from workers.train.reward import LocalRewardScorer, RewardScorer
from workers.train.shared_folder import SharedFolder
from workers.train.spec import CanarySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptResult:
    """What became of one ticket."""

    index: int
    attempt: int
    answer: PutAnswer | Literal["failed", "filtered"]
    why: str = ""
    reward: float | None = None
    """Of every completion of a filtered group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReport:
    outcomes: tuple[PromptResult, ...]
    timestamps: tuple[float, float, float, float]
    """Unix times: sampling began, scoring began, putting began, done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    version: int
    canary_T: tuple[float, ...]
    """The engine's log-probabilities of the canary under the loaded weights; empty without one."""
    timestamps: tuple[float, float]


class RolloutWorker:
    """Holds one policy version at a time and does one thing at a time.

    ``scorer`` None: the worker builds ``reward`` for itself and scores in its own process.
    """

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        reward: Callable[[], Reward],
        scorer: RewardScorer | None,
        plan: Plan,
        shared: SharedFolder,
    ) -> None:
        self._build_engine, self._build_reward = engine, reward
        self._scorer = scorer
        self._plan, self._shared = plan, shared

    def start(self) -> None:
        """Build engine and scorer. Not in ``__init__``, whose errors Ray delivers without type."""
        self._shared.check()
        with boundary(EngineError, "starting the rollout engine"):
            self._engine = self._build_engine()
        with boundary(RewardError, "building the reward"):
            self._score = self._scorer or LocalRewardScorer(self._build_reward())

    def load(self, policy: PolicyRef, canary: CanarySpec | None) -> LoadReport:
        start = time.time()
        with boundary(EngineError, f"loading {policy.path}"):
            self._engine.load(policy)
            scores = self._engine.score(canary.prompt_ids, canary.completion_ids) if canary else []
        return LoadReport(
            version=self._engine.version, canary_T=tuple(scores), timestamps=(start, time.time())
        )

    def work(self, tickets: Sequence[Ticket], queue: QueueClient) -> WorkReport:
        """Roll out ``tickets`` in one engine call and put their groups into the queue.

        With dynamic sampling, a group that teaches nothing ends here.
        """
        sampling = time.time()
        with boundary(EngineError, f"sampling {len(tickets)} prompts"):
            completions_P_G = sample_completions(tickets, plan=self._plan, engine=self._engine)
        scoring = time.time()
        verdicts = self._score(tickets, completions_P_G)
        putting = time.time()
        results = [
            verdict if isinstance(verdict, RewardError) else Group(ticket=ticket, rollouts=verdict)
            for ticket, verdict in zip(tickets, verdicts, strict=True)
        ]
        rule = self._plan.dynamic_sampling
        kept = [r for r in results if isinstance(r, Group) and not is_left_out(r, rule)]
        answers = queue.put([serialize(group) for group in kept])
        put = {group.ticket.index: answer for group, answer in zip(kept, answers, strict=True)}
        return WorkReport(
            outcomes=tuple(
                _outcome(ticket, result, put)
                for ticket, result in zip(tickets, results, strict=True)
            ),
            timestamps=(sampling, scoring, putting, time.time()),
        )

    def generate(
        self,
        prompts_P: Sequence[Prompt],
        seeds_P_G: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> list[list[Completion]]:
        """As ``Engine.generate``, for evaluation: nothing goes into the queue."""
        with boundary(EngineError, f"sampling {len(prompts_P)} prompts"):
            return self._engine.generate(prompts_P, seeds_P_G=seeds_P_G, sampling=sampling)


def _outcome(
    ticket: Ticket, result: Group | RewardError, put: Mapping[int, PutAnswer]
) -> PromptResult:
    """``put``: what the queue answered, by position; it was not asked about filtered groups."""
    index, attempt = ticket.index, ticket.key.attempt
    if isinstance(result, RewardError):
        return PromptResult(index=index, attempt=attempt, answer="failed", why=str(result))
    if index not in put:
        reward = common_reward(result)
        return PromptResult(index=index, attempt=attempt, answer="filtered", reward=reward)
    return PromptResult(index=index, attempt=attempt, answer=put[index])
