"""Many rankings of systems into one: Borda's mean rank and Kemeny's median ranking.

As in "What are the best systems? New perspectives on NLP benchmarking" (arXiv 2202.03799): means of
measures with different scales say little about who is best.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SystemScores = Mapping[str, Mapping[str, float]]
"""Voter (a collection or a query) -> system -> score; every voter scores every system."""

EXACT_UP_TO = 12
"""Systems up to which the Kemeny ranking is found by looking at all of them."""


class Consensus(NamedTuple):
    """An order of systems, best first."""

    order: tuple[str, ...]
    disagreements: float
    """Pairs of systems that a voter orders the other way, over all voters; a tie is half a pair."""
    exact: bool
    """Whether no order has fewer disagreements; False: none is found by moving one system."""


def borda(scores: SystemScores) -> dict[str, float]:
    """System -> mean rank over voters, from 1, ties sharing the mean of their places; best first.

    Raises ValueError unless every voter scores the same systems.
    """
    systems = _systems(scores)
    ranks = {
        system: sum(_rank(votes, system) for votes in scores.values()) / len(scores)
        for system in systems
    }
    return dict(sorted(ranks.items(), key=lambda item: item[1]))


def kemeny(scores: SystemScores) -> Consensus:
    """The order with the fewest disagreements with the voters; of equals, the one nearest Borda's.

    Exact up to ``EXACT_UP_TO`` systems by dynamic programming over sets, beyond that Borda's order
    improved by moving one system at a time.
    """
    systems = list(borda(scores))
    against = _against(scores, systems)
    exact = len(systems) <= EXACT_UP_TO
    order = _best_order(against) if exact else _improved(against)
    return Consensus(
        order=tuple(systems[i] for i in order), disagreements=_cost(order, against), exact=exact
    )


def _systems(scores: SystemScores) -> list[str]:
    first = list(next(iter(scores.values()), {}))
    if not first or any(set(votes) != set(first) for votes in scores.values()):
        raise ValueError("every voter must score the same systems, and there must be one of each")
    return first


def _rank(votes: Mapping[str, float], system: str) -> float:
    better = sum(score > votes[system] for score in votes.values())
    equal = sum(score == votes[system] for score in votes.values())
    return better + (equal + 1) / 2


def _against(scores: SystemScores, systems: Sequence[str]) -> list[list[float]]:
    """``[i][j]``: how many voters speak against i before j."""
    return [
        [
            sum(
                1.0 if votes[j] > votes[i] else 0.5 * (votes[i] == votes[j])
                for votes in scores.values()
            )
            for j in systems
        ]
        for i in systems
    ]


def _best_order(against: Sequence[Sequence[float]]) -> list[int]:
    """``best[s]``: fewest disagreements of an order of the systems in bit set s, and its last."""
    n = len(against)
    best: list[tuple[float, int]] = [(0.0, -1)] * (1 << n)
    for members in range(1, 1 << n):
        inside = [i for i in range(n) if members >> i & 1]
        # Of equally good orders, the last system is the one that Borda puts last.
        best[members] = min(
            (best[members ^ 1 << i][0] + sum(against[j][i] for j in inside if j != i), -i)
            for i in inside
        )
    order: list[int] = []
    members = (1 << n) - 1
    while members:
        last = -best[members][1]
        order.append(last)
        members ^= 1 << last
    return order[::-1]


def _improved(against: Sequence[Sequence[float]]) -> list[int]:
    order = list(range(len(against)))
    while True:
        moved = [
            [*rest[:place], system, *rest[place:]]
            for system in order
            for rest in [[other for other in order if other != system]]
            for place in range(len(order))
        ]
        best = min(moved, key=lambda candidate: _cost(candidate, against))
        if _cost(best, against) >= _cost(order, against):
            return order
        order = best


def _cost(order: Sequence[int], against: Sequence[Sequence[float]]) -> float:
    return sum(
        against[order[a]][order[b]] for a in range(len(order)) for b in range(a + 1, len(order))
    )
