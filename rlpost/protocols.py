"""The seams of the system: what a rollout engine, a reward, a task and a learner must be able to
do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from rlpost.types import Completion, Group, PolicyRef, Prompt, Sampling, Score, Stretch


class Engine(Protocol):
    """Samples from the policy. Holds one version of the weights at a time."""

    @property
    def version(self) -> int:
        """Version of the weights that the next token will be sampled with; 0 is the model before
        RL."""
        ...

    def generate(
        self, prompts_P: Sequence[Prompt], *, seeds_P_G: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[Completion]]:
        """``len(seeds_P_G[p])`` completions of prompt ``p``, one per seed, in order.

        Raises EngineError when the engine fails, UserError when a prompt does not fit the context.
        """
        ...

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """Log-probability (temperature 1) of each completion token under the current weights."""
        ...

    def load(self, policy: PolicyRef) -> None:
        """Switch to a published policy. Names, shapes and finiteness are checked before anything
        changes."""
        ...

    def close(self) -> None: ...


class Reward(Protocol):
    """Judges one completion. A wrong answer is a low score; only a broken scorer raises
    (RewardError). Totals are finite numbers."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score: ...


@runtime_checkable
class GroupReward(Protocol):
    """A reward that judges siblings together: one call of a model or of a service for all."""

    def group(self, prompt: Prompt, completions_G: Sequence[Completion]) -> Sequence[Score]:
        """Scores in order, each what the completion would get alone."""
        ...


class PromptSource(Protocol):
    """The training prompts: an endless, seeded, addressable stream."""

    def prompt(self, index: int) -> Prompt:
        """Prompt number ``index`` of the stream; equal for equal (seed, index) on any machine
        layout."""
        ...

    def epoch(self, index: int) -> int: ...


class BothWays(NamedTuple):
    """Log-probabilities of a sequence's completion tokens, at temperature 1."""

    batch_T: tuple[float, ...]
    """As the learner computes them in training, among other sequences."""
    alone_T: tuple[float, ...]
    """By the plain model, from the sequence alone."""


class Learner(Protocol):
    """Owns the trained weights."""

    @property
    def version(self) -> int:
        """Number of optimizer steps taken."""
        ...

    def step(self, groups: Sequence[Group]) -> Mapping[str, float]:
        """One optimizer step on complete groups; ``version`` grows by one. TrainingError on a
        non-finite loss."""
        ...

    def publish(self, root: Path) -> PolicyRef:
        """Write the current weights as ``root/policy-v{version}`` (atomic, never overwritten)."""
        ...

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """Log-probability (temperature 1) of each completion token under the current weights."""
        ...

    def save(self, path: Path) -> None:
        """Weights, optimizer, schedule and random state, into an existing empty folder."""
        ...

    def restore(self, path: Path) -> None: ...


@runtime_checkable
class CreditedLearner(Protocol):
    """A learner that tells what each completion of its last step was credited with."""

    @property
    def advantages_P_G(self) -> Sequence[Sequence[Sequence[Stretch]]]:
        """As they were trained on, for the groups in the order given to ``step``.

        A completion of which no token was trained on has 0.
        """
        ...


@runtime_checkable
class BatchLearner(Protocol):
    """A learner that runs sequences together, and can tell whether that changes them."""

    @property
    def why_not_packed(self) -> str:
        """A sentence on what keeps it from its fastest way; empty where nothing does."""
        ...

    def score_both_ways(
        self, prompt_ids: Sequence[int], completion_ids: Sequence[int]
    ) -> BothWays: ...
