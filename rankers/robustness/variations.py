"""The inputs that a reranker is shown: the given one, and variations of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rankers.reranker.reranker import Problem
from rankers.robustness.perturbations import (
    ATTACKS,
    SAME_MEANING,
    TYPOS,
    PassageAttack,
    QueryChange,
)
from rankers.types import Passage, Qrels, Query

Dimension = Literal["input order", "repeated", "typos", "same meaning", "attacks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Problems like the given ones, query by query, with one thing changed."""

    dimension: Dimension
    name: str
    problems: Sequence[Problem]
    targets: Sequence[str] = ()
    """Attacks: the id of the passage that was changed in each problem, empty where none was."""


def variations(
    problems: Sequence[Problem], qrels: Qrels, *, shuffles: int, repeats: int, seed: int
) -> Iterator[Variation]:
    """Every variation, in the order of the report. The same seed gives the same inputs."""
    for number in range(repeats):
        yield Variation(dimension="repeated", name=f"again, {number + 1}", problems=problems)
    reverse = [(query, passages[::-1]) for query, passages in problems]
    yield Variation(dimension="input order", name="reversed", problems=reverse)
    for number in range(shuffles):
        shuffled = [
            (query, _shuffled(passages, f"{seed}/{number}/{query.id}"))
            for query, passages in problems
        ]
        yield Variation(dimension="input order", name=f"shuffled, {number + 1}", problems=shuffled)
    changes: dict[Dimension, dict[str, QueryChange]] = {
        "typos": dict(TYPOS),
        "same meaning": dict(SAME_MEANING),
    }
    for dimension, named in changes.items():
        for name, change in named.items():
            changed = [
                (_changed(query, change, f"{seed}/{name}/{query.id}"), passages)
                for query, passages in problems
            ]
            yield Variation(dimension=dimension, name=name, problems=changed)
    for name, attack in ATTACKS.items():
        yield _attacked(name, attack, problems, qrels)


def _shuffled(passages: Sequence[Passage], key: str) -> list[Passage]:
    order = list(passages)
    random.Random(key).shuffle(order)
    return order


def _changed(query: Query, change: QueryChange, key: str) -> Query:
    return Query(id=query.id, text=change(query.text, random.Random(key)))


def _attacked(
    name: str, attack: PassageAttack, problems: Sequence[Problem], qrels: Qrels
) -> Variation:
    """The last candidate that is not relevant is rewritten; without one, nothing is."""
    changed: list[Problem] = []
    targets: list[str] = []
    for query, passages in problems:
        gains = qrels[query.id]
        place = next(
            (i for i in reversed(range(len(passages))) if gains.get(passages[i].id, 0) <= 0), None
        )
        if place is None:
            changed.append((query, passages))
            targets.append("")
            continue
        target = passages[place]
        rewritten = Passage(id=target.id, text=attack(query.text, target.text))
        changed.append((query, [*passages[:place], rewritten, *passages[place + 1 :]]))
        targets.append(target.id)
    return Variation(dimension="attacks", name=name, problems=changed, targets=targets)
