"""Several runs into one: reciprocal-rank fusion and weighted sums of normalised scores."""

from collections.abc import Sequence
from typing import Literal

from rankers.types import Run, ScoredDoc

Normalisation = Literal["min-max", "none"]


def reciprocal_rank_fusion(
    runs: Sequence[Run], *, k: int = 60, depth: int = 1000
) -> dict[str, list[ScoredDoc]]:
    """Score = sum over runs of 1 / (k + rank), ranks from 1 (Cormack et al., SIGIR 2009).

    Queries of any run, in the order they first occur; ties by document id, ascending.
    """
    return _summed(
        [
            {q: [1 / (k + rank) for rank in range(1, len(docs) + 1)] for q, docs in run.items()}
            for run in runs
        ],
        runs,
        depth,
    )


def score_fusion(
    runs: Sequence[Run],
    *,
    weights: Sequence[float] | None = None,
    normalisation: Normalisation = "min-max",
    depth: int = 1000,
) -> dict[str, list[ScoredDoc]]:
    """Weighted sum of the runs' scores; a document that a run lacks gets 0 from it.

    ``min-max`` maps the scores of each query and run to 0..1 first (all equal: 1). Weights are 1
    where not given. Raises ValueError unless there is one weight per run.
    """
    factors = [1.0] * len(runs) if weights is None else weights
    scores = [
        {q: [w * score for score in _normalised(docs, normalisation)] for q, docs in run.items()}
        for w, run in zip(factors, runs, strict=True)
    ]
    return _summed(scores, runs, depth)


def _normalised(docs: Sequence[ScoredDoc], method: Normalisation) -> list[float]:
    values = [doc.score for doc in docs]
    if method == "none" or not values:
        return values
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 1.0 for v in values]


def _summed(
    scores: Sequence[dict[str, list[float]]], runs: Sequence[Run], depth: int
) -> dict[str, list[ScoredDoc]]:
    totals: dict[str, dict[str, float]] = {}
    for run, values in zip(runs, scores, strict=True):
        for query_id, docs in run.items():
            total = totals.setdefault(query_id, {})
            for doc, value in zip(docs, values[query_id], strict=True):
                total[doc.id] = total.get(doc.id, 0.0) + value
    return {
        query_id: [
            ScoredDoc(*item) for item in sorted(total.items(), key=lambda i: (-i[1], i[0]))[:depth]
        ]
        for query_id, total in totals.items()
    }
