"""What travels between the stages of one RL step: Prompt -> Completion -> Rollout -> Group ->
Sample.

Everything here is frozen, plain and picklable (tuples, numbers, strings), so that a stage can run
in another process.
Axis suffixes: ``_P`` prompts of a step, ``_G`` siblings of a group, ``_T`` tokens of one
completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

FinishReason = Literal["stop", "length"]
Role = Literal["system", "user", "assistant"]


class GroupKey(NamedTuple):
    """Identity of one group: what makes ``put`` idempotent and "trained twice" detectable."""

    run_id: str
    epoch: int
    prompt_id: str
    attempt: int
    """0 for the first try; +1 each time the prompt is re-queued (stale, or its worker died too
    often)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the policy is asked, already rendered through the model's chat template."""

    id: str
    messages: tuple[Message, ...]
    token_ids: tuple[int, ...]
    payload: object = None
    """What the task's reward needs to judge an answer; plain data, never shown to the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One order to roll out one prompt: the unit the driver issues, tracks and never loses."""

    index: int
    """Position in the run's prompt stream. Step ``s`` of a synchronous run is made of the indices
    ``[s * groups_per_step, (s + 1) * groups_per_step)``; the learner sorts by it."""
    key: GroupKey
    prompt: Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy."""

    temperature: float
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled answer and the probabilities under which it was sampled."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the end-of-turn token included when it was sampled."""
    logprobs_T: tuple[float, ...]
    """Natural-log probability of each token at the sampling distribution (after temperature), as
    the engine
    that sampled it reported it; never recomputed."""
    versions_T: tuple[int, ...]
    """Policy version that sampled each token."""
    finish: FinishReason
    text: str
    """Decoded without special tokens of the chat template."""


class Segment(NamedTuple):
    """A run of completion tokens that shares its credit and its importance ratio."""

    length: int
    """Tokens; at least one."""
    rank: int | None
    """Which place of the list these tokens fill, 0 for the first; None for any other text."""
    sign: int = 0
    """+1 what makes the list as long as asked, -1 what makes it shorter or longer, 0 neither."""
    joins: bool = False
    """Shares the importance ratio of the segment before it, not its credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScore:
    """What a completion that is a list earned at each place, and which tokens filled it."""

    gains_K: tuple[float, ...]
    """Relevance of the item at each of the K places asked for; 0 where there is none."""
    segments: tuple[Segment, ...]
    """Side by side; they cover the completion's tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The reward of one completion and the parts it is made of."""

    total: float
    parts: Mapping[str, float] = field(default_factory=dict)
    places: ListScore | None = None
    """For tasks whose answers are lists: what credit per rank is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A completion exists as a rollout only once it has been scored."""

    completion: Completion
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All siblings of one prompt; never split before credit is assigned."""

    ticket: Ticket
    rollouts: tuple[Rollout, ...]

    @property
    def key(self) -> GroupKey:
        return self.ticket.key

    @property
    def version(self) -> int:
        """Oldest policy version of any token in the group: what staleness is measured from."""
        return min((v for r in self.rollouts for v in r.completion.versions_T), default=0)

    @property
    def rewards_G(self) -> tuple[float, ...]:
        return tuple(r.score.total for r in self.rollouts)

    @property
    def num_tokens(self) -> int:
        """Prompt and completion tokens of all siblings."""
        prompt = len(self.ticket.prompt.token_ids)
        return sum(prompt + len(r.completion.token_ids) for r in self.rollouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sequence with its credit: what the learner trains on."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs_T: tuple[float, ...]
    """Behaviour log-probabilities, from the engine that sampled."""
    advantages_T: tuple[float, ...]
    """Credit of each completion token; equal along the sequence for sequence-level credit."""
    segments_R: tuple[int, ...] = ()
    """Lengths of the runs of tokens that share an importance ratio under ``rank_grpo``; they cover
    the completion. Empty: one run."""


class Stretch(NamedTuple):
    """Completion tokens side by side that were trained on with one advantage."""

    length: int
    advantage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRef:
    """A published, immutable set of adapter weights: ``path`` holds a PEFT adapter folder and
    ``manifest.json``."""

    version: int
    path: Path
