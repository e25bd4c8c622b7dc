"""Any method's scores -> the relevance from 0 to 1 that clients of hosted services expect."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rankers.errors import ScoreError
from rankers.reranker.reranker import ScoreKind
from rankers.types import Ranking

COMPARABLE: frozenset[ScoreKind] = frozenset(
    {"log_odds", "probability", "log_likelihood", "cosine", "logit"}
)
"""Kinds whose scores say something about a passage alone, across queries and requests."""


def sigmoid(score: float) -> float:
    """1 / (1 + exp(-score)), for any size of score."""
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    odds = math.exp(score)
    return odds / (1 + odds)


RELEVANCE: Mapping[ScoreKind, Callable[[float, int], float]] = {
    "rank": lambda score, n: score / n,
    "wins": lambda score, n: score / (n - 1) if n > 1 else 1.0,
    "log_odds": lambda score, n: sigmoid(score),
    "probability": lambda score, n: score,
    "log_likelihood": lambda score, n: math.exp(score),
    "cosine": lambda score, n: (1 + score) / 2,
    "logit": lambda score, n: sigmoid(score),
}
"""(score, number of candidates) -> relevance.

``rank``: n/n for the best down to 1/n. ``wins``: share of the duels. ``log_likelihood``: the
geometric mean probability of the query's tokens.
"""


def relevance(ranking: Ranking, kind: ScoreKind) -> tuple[float, ...]:
    """From 0 to 1, aligned with ``ranking.order`` and never rising along it.

    A ranking without scores gets those of ``rank``. Raises ScoreError on a score that is no number.
    """
    n = len(ranking.order)
    if not ranking.scores:
        return tuple((n - place) / n for place in range(n))
    for score in ranking.scores:
        if not math.isfinite(score):
            raise ScoreError(f"a passage was scored {score}")
    # Rounding may carry a cosine or a likelihood a hair beyond the ends.
    convert = RELEVANCE[kind]
    return tuple(min(max(convert(score, n), 0.0), 1.0) for score in ranking.scores)
