"""What the driver needs to know about a run: picklable factories and numbers, never a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rlpost.loop import StepRecord
from rlpost.protocols import Engine, Learner, PromptSource, Reward
from rlpost.rollout.collect import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """Bounds of everything that is under way at once."""

    max_lag: int = 0
    """Oldest policy, in versions, that a group may come from; 0 is synchronous."""
    queue_bytes: int = 256 << 20
    lease_ttl_s: float = 600.0
    max_attempts: int = 3
    """Failures after which a prompt is quarantined."""
    max_quarantined: int = 16
    """The failure budget of a run: beyond it, the trouble is not with single prompts."""
    max_restarts: int = 8
    """Deaths of rollout workers in a run, after which the run stops."""
    start_s: float = 600.0
    """Longest start of an actor, with its model."""
    stall_s: float = 600.0
    """Longest wait for any answer; no progress for this long stops the run."""
    node_wait_s: float = 30.0
    """Longest time without any machine that could start a lost worker again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Who gets what. Ray's scheduler does the placing."""

    rollout_workers: int = 1
    rollout_gpus: float = 0.0
    learner_gpus: float = 0.0
    reward_workers: int = 0
    """Processes that score; 0 scores inside the rollout worker, right for pure Python rewards."""
    reward_timeout_s: float = 60.0
    """Longest scoring of one group in a reward worker."""
    threads: int = 1
    """CPU threads, and CPUs reserved, for each rollout worker and for the learner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySpec:
    """A fixed sequence that engine and learner must agree on after every publish."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    tolerance: float
    """Largest difference of a token's log-probability, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPlan:
    run_dir: Path
    every: int
    """Steps; the last step always has one."""
    keep: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """A run, ready to be taken apart over processes."""

    plan: Plan
    source: PromptSource
    engine: Callable[[], Engine]
    """Called inside each rollout worker; must pickle (a ``functools.partial`` of a class does)."""
    reward: Callable[[], Reward]
    """Called inside each process that scores."""
    learner: Callable[[], Learner]
    """Called inside the learner's process."""
    checkpoints: CheckpointPlan
    streaming: Streaming = field(default_factory=Streaming)
    resources: Resources = field(default_factory=Resources)
    canary: CanarySpec | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What a checkpoint remembers of its run (``rlpost.identity``), as plain JSON."""


class Emit(Protocol):
    def __call__(self, kind: str, **fields: object) -> None: ...


class EmitSpan(Protocol):
    def __call__(self, name: str, actor: str, start: float, end: float) -> None:
        """``actor`` did ``name`` between two Unix times."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """Where the driver tells what happens; called in the driver's process."""

    step: Callable[[StepRecord], None]
    events: Emit
    trace: EmitSpan
