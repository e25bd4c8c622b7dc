"""A ranking method as a plan: a generator that yields batches of questions and receives answers.

A plan knows indices, not texts, queries or models; so the same method runs one query alone,
hundreds of queries at once (``rankers.running``), or over a network, and its calls can be
counted with an oracle. Every plan returns a permutation of its candidates, whatever the answers.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

from rankers.errors import ScoreError

Ask = tuple[int, ...]
"""Candidates to show in one prompt, in this order."""

Choice = int | None
"""Position in the ask of the chosen candidate; None where the answer was unusable."""

Order = tuple[int, ...]
"""Positions in the ask, best first: a permutation."""

Scores = tuple[float, ...]
"""Aligned with the ask; larger is better."""


class Outcome(NamedTuple):
    """What a plan comes to."""

    order: Order
    """A permutation of the candidates, best first."""
    scores: Scores
    """Aligned with ``order``, never rising; empty where an engine failure left some unknown."""


A = TypeVar("A")
Plan = Generator[list[Ask], Sequence[A | None], Outcome]
"""Yields batches whose asks are independent of each other; returns the outcome.

An answer is None where the engine failed: the order that stands is then kept.
"""


def run(plan: Plan[A], answer: Callable[[list[Ask]], Sequence[A | None]]) -> Outcome:
    """What ``plan`` comes to when ``answer`` answers its batches."""
    answers: Sequence[A | None] | None = None
    while True:
        try:
            asks = next(plan) if answers is None else plan.send(answers)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        answers = answer(asks)


def unseeded(plan: Callable[[int], Plan[A]], n: int, key: str) -> Plan[A]:
    """``plan`` over ``n`` candidates, for a method that makes no seeded choice by ``key``."""
    return plan(n)


def shuffled(plan: Plan[Choice], *, key: str, votes: int = 1) -> Plan[Choice]:
    """Show every ask of ``plan`` in ``votes`` seeded shuffles and answer with the majority.

    The shuffles depend on ``key`` (a seed and the query's id, say) and on the number of the ask,
    not on what else runs: Rank-R1 (arXiv 2503.06034) draws them from one global generator instead.
    Unusable answers do not vote; equal counts are decided by the same seeded generator.
    """
    number = 0
    answers: list[Choice] | None = None
    while True:
        try:
            asks = next(plan) if answers is None else plan.send(answers)
        except StopIteration as stop:
            outcome: Outcome = stop.value
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
            show[pick] if pick is not None and 0 <= pick < len(show) else None
            for pick, show in zip(picks, shows, strict=True)
        ]
        answers = [
            _majority(chosen[i * votes : (i + 1) * votes], rng) for i, rng in enumerate(rngs)
        ]


def by_rank(order: Sequence[int]) -> Outcome:
    """An outcome whose scores say no more than the rank: they fall from n to 1."""
    return Outcome(tuple(order), tuple(float(n) for n in range(len(order), 0, -1)))


def by_score(scores: Sequence[float], candidates: Sequence[int]) -> Outcome:
    """``candidates`` by their ``scores``; equal ones stay as they are.

    Raises ScoreError on a score that is not finite: a broken model is no ranking.
    """
    for score, candidate in zip(scores, candidates, strict=True):
        if not math.isfinite(score):
            raise ScoreError(f"the model gave candidate {candidate} the score {score}")
    ranked = sorted(zip(candidates, scores, strict=True), key=lambda pair: -pair[1])
    return Outcome(tuple(i for i, _ in ranked), tuple(float(score) for _, score in ranked))


def checked_choice(choice: Choice, size: int) -> int:
    """The chosen position; the first one where the answer is unusable or names nobody shown."""
    return choice if choice is not None and 0 <= choice < size else 0


def top_then_rest(top: Sequence[int], n: int) -> Outcome:
    """The candidates of ``top``, then all others in input order."""
    taken = set(top)
    return by_rank([*top, *(i for i in range(n) if i not in taken)])


def _majority(votes: Sequence[Choice], rng: random.Random) -> Choice:
    counts = Counter(vote for vote in votes if vote is not None)
    if not counts:
        return None
    most = max(counts.values())
    return rng.choice(sorted(vote for vote, count in counts.items() if count == most))


def seed_of(key: str, number: int) -> int:
    """A 64-bit seed that depends on ``key`` and ``number`` alone."""
    digest = hashlib.blake2b(f"{key}/{number}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
