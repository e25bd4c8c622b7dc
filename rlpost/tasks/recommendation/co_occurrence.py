"""What people who liked these items also liked: a recommender that needs counting alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

SHRINKAGE = 5.0
"""Likes added to the denominator, so that rare items are not similar by accident."""
TINY = 1e-9
"""Score of an item that nobody liked together with the history."""


class CoOccurrence:
    """Item-based collaborative filtering (Sarwar et al., WWW 2001) on likes.

    The similarity of two items is the cosine of who liked them, shrunk; an item's score is the sum
    of its similarities to a history, and ties go to the more popular.
    """

    def __init__(self, likes_by_user: Mapping[str, Iterable[str]], items: Sequence[str]) -> None:
        self._items = tuple(items)
        place = {item: k for k, item in enumerate(self._items)}
        self._rows = {
            user: np.array([place[item] for item in liked if item in place], dtype=np.int64)
            for user, liked in likes_by_user.items()
        }
        self._place = place
        self._counts = np.zeros((len(items), len(items)))
        for row in self._rows.values():
            self._counts[np.ix_(row, row)] += 1

    def recommend(
        self,
        history: Collection[str],
        *,
        count: int,
        without: str = "",
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The best ``count`` items for ``history``, none of which is in it.

        ``without``: a user whose own likes shall not count. With a ``temperature`` the list is
        drawn instead: each place goes to an item in proportion to its score to the power of
        1 / temperature (Plackett-Luce, by Gumbel noise on the log scores).
        """
        counts = self._counts
        if without in self._rows:
            row = self._rows[without]
            counts = counts.copy()
            counts[np.ix_(row, row)] -= 1
        likes = counts.diagonal()
        known = [self._place[item] for item in history]
        norms = np.sqrt(np.outer(likes[known], likes))
        scores = (counts[known] / (norms + SHRINKAGE)).sum(axis=0)
        if temperature:
            noise = np.random.default_rng(seed).gumbel(size=scores.shape)
            scores = np.log(np.maximum(scores, TINY)) + temperature * noise
        return self._best(scores, likes, known, count)

    def popular(self, history: Collection[str], *, count: int) -> list[str]:
        """The ``count`` most liked items, none of which is in ``history``."""
        likes = self._counts.diagonal()
        return self._best(likes, likes, [self._place[item] for item in history], count)

    def _best(
        self, scores: np.ndarray, likes: np.ndarray, known: Sequence[int], count: int
    ) -> list[str]:
        order = np.lexsort((-likes, -scores))
        taken = set(known)
        return [self._items[k] for k in order if k not in taken][:count]
