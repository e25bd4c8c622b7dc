"""A ranking method as a plan: a generator that yields batches of questions and receives answers.

A plan knows indices, not texts, queries or models; so the same method runs one query alone,
hundreds of queries at once (``rankers.reranker.batcher``), or over a network, and its calls can be
counted with an oracle. Every plan returns a permutation of its candidates, whatever the answers.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import Literal, NamedTuple, TypeVar

from rankers.errors import ScoreError

ShownIds = tuple[int, ...]
"""Candidates to show in one prompt, in this order."""

Choice = int | None
"""Position in the ask of the chosen candidate; None where the answer was unusable."""

Pick = Choice | tuple[int, ...]
"""A choice, or the positions of several candidates, equally good and better than all others."""

Variant = Literal["paper", "released"]
"""Where an answer decides nothing: ``paper`` keeps the relation of the first stage, as PRP (arXiv
2306.17563) has it; ``released`` does as the released code of ielab/llm-rankers."""

Order = tuple[int, ...]
"""Positions in the ask, best first: a permutation."""

Scores = tuple[float, ...]
"""Aligned with the ask; larger is better."""


class PlanResult(NamedTuple):
    """What a plan comes to."""

    order: Order
    """A permutation of the candidates, best first."""
    scores: Scores
    """Aligned with ``order``, never rising; empty where an engine failure left some unknown."""


A = TypeVar("A")

RankingPlan = Generator[list[ShownIds], Sequence[A | None], PlanResult]
"""Yields batches whose asks are independent of each other; returns the outcome.

An answer is None where the engine failed: the order that stands is then kept.
"""


def run_plan(
    plan: RankingPlan[A], answer: Callable[[list[ShownIds]], Sequence[A | None]]
) -> PlanResult:
    """What ``plan`` comes to when ``answer`` answers its batches."""
    answers: Sequence[A | None] | None = None
    while True:
        try:
            asks = next(plan) if answers is None else plan.send(answers)
        except StopIteration as stop:
            outcome: PlanResult = stop.value
            return outcome
        answers = answer(asks)


def unseeded(plan: Callable[[int], RankingPlan[A]], n: int, key: str) -> RankingPlan[A]:
    """``plan`` over ``n`` candidates, for a method that makes no seeded choice by ``key``."""
    return plan(n)


def shuffled(plan: RankingPlan[Pick], *, key: str, votes: int = 1) -> RankingPlan[Pick]:
    """Show every ask of ``plan`` in ``votes`` seeded shuffles and answer with the majority.

    The shuffles depend on ``key`` (a seed and the query's id, say) and on the number of the ask,
    not on what else runs: Rank-R1 (arXiv 2503.06034) draws them from one global generator instead.
    Unusable answers do not vote; equal counts are a tie, where upstream draws lots.
    """
    number = 0
    answers: list[Pick] | None = None
    while True:
        try:
            asks = next(plan) if answers is None else plan.send(answers)
        except StopIteration as stop:
            outcome: PlanResult = stop.value
            return outcome
        rngs = [random.Random(seed_of(key, number + i)) for i in range(len(asks))]
        number += len(asks)
        shows = [
            tuple(rng.sample(range(len(ask)), len(ask)))
            for rng, ask in zip(rngs, asks, strict=True)
            for _ in range(votes)
        ]
        shown = [ask for ask in asks for _ in range(votes)]
        picks = yield [
            tuple(ask[position] for position in show)
            for ask, show in zip(shown, shows, strict=True)
        ]
        chosen = [
            tuple(show[position] for position in usable(pick, len(show)))
            for pick, show in zip(picks, shows, strict=True)
        ]
        answers = [_majority(chosen[i * votes : (i + 1) * votes]) for i in range(len(asks))]


def by_rank(order: Sequence[int]) -> PlanResult:
    """An outcome whose scores say no more than the rank: they fall from n to 1."""
    return PlanResult(tuple(order), tuple(float(n) for n in range(len(order), 0, -1)))


def by_score(scores: Sequence[float], candidates: Sequence[int]) -> PlanResult:
    """``candidates`` by their ``scores``; equal ones stay as they are.

    Raises ScoreError on a score that is not finite: a broken model is no ranking.
    """
    for score, candidate in zip(scores, candidates, strict=True):
        if not math.isfinite(score):
            raise ScoreError(f"the model gave candidate {candidate} the score {score}")
    ranked = sorted(zip(candidates, scores, strict=True), key=lambda pair: -pair[1])
    return PlanResult(tuple(i for i, _ in ranked), tuple(float(score) for _, score in ranked))


def usable(pick: Pick, size: int) -> tuple[int, ...]:
    """The positions picked among ``size``; empty where the answer names nobody shown."""
    positions = pick if isinstance(pick, tuple) else (pick,)
    return tuple(i for i in positions if i is not None and 0 <= i < size)


def settled(pick: Pick, ask: ShownIds, *, variant: Variant = "paper") -> int:
    """The position picked. Between equals, and where nobody shown is named, ``variant`` decides.

    ``paper`` takes the candidate that the first stage put first, ``released`` the one shown first.
    """
    positions = usable(pick, len(ask)) or range(len(ask))
    return min(positions, key=lambda i: ask[i] if variant == "paper" else i)


def top_then_rest(top: Sequence[int], n: int) -> PlanResult:
    """The candidates of ``top``, then all others in input order."""
    taken = set(top)
    return by_rank([*top, *(i for i in range(n) if i not in taken)])


def _majority(votes: Sequence[tuple[int, ...]]) -> Pick:
    counts: Counter[int] = Counter()
    for vote in votes:
        counts.update(vote)
    most = max(counts.values(), default=0)
    winners = tuple(sorted(i for i, count in counts.items() if count == most))
    return winners[0] if len(winners) == 1 else winners or None


def seed_of(key: str, number: int) -> int:
    """A 64-bit seed that depends on ``key`` and ``number`` alone."""
    digest = hashlib.blake2b(f"{key}/{number}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


KeyedPlan = Callable[[int, str], RankingPlan[Pick]]


def at_most(max_tokens: int, shown: int) -> int:
    return max_tokens
