"""What a task gives a run: prompts, their reward, answers to imitate, and queries to measure on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rankers.types import Qrels, Run, ScoredDoc
from rlpost.protocols import PromptSource, Reward
from rlpost.types import Completion, Prompt

Imitate = Callable[[Prompt], str]
"""The answer that a warm start teaches for a prompt; the canary uses the first prompt's."""

Rank = Callable[[Prompt, Completion], list[ScoredDoc]]
"""The ranking that an answer stands for: one entry of a run."""


Answer = Callable[[Sequence[Prompt]], Sequence[Completion]]
"""The current policy's greedy answers, one per prompt, in order."""

Rerank = Callable[[Answer], Run]
"""Ranks all held-out queries with as many answers as the method asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The queries a run is measured on, before and after training."""

    prompts: Sequence[Prompt]
    """At most one for each query; its ``id`` is the query's."""
    rank: Rank
    """What one answer per prompt stands for."""
    qrels: Qrels
    """Judgements of exactly the chosen queries, those without a prompt included (they score 0)."""
    baselines: Mapping[str, Run]
    """Other rankings of the same queries to compare with, such as the first stage's."""
    name: str
    shown: str | None = None
    """Which of the baselines is the order in which the policy sees the documents, if any."""
    chance: str | None = None
    """Which of them is an order drawn at random, if any."""
    rerank: Rerank | None = None
    """In place of ``rank`` where a ranking takes more than one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTask:
    """What the parts of a run are made from, before any model is loaded."""

    source: PromptSource
    reward: Callable[[], Reward]
    """Called in each process that scores; must pickle (a ``functools.partial`` of a class does)."""
    imitate: Imitate
    held_out: HeldOut
    data: Mapping[str, str] = field(default_factory=dict)
    """Digests of the data, part by part (``rlpost.tasks.fingerprint``)."""
