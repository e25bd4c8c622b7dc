"""How good a ranking is: measures of ir_measures over a run; nDCG of one order as a reward."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankers.errors import DataError
from rankers.trec import decreasing_float32
from rankers.types import Qrels, Run

if TYPE_CHECKING:
    from ir_measures import Measure

DEFAULT_MEASURES = ("nDCG@10", "RR@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The values of some measures for one run."""

    per_query: Mapping[str, Mapping[str, float]]
    """Measure -> query id -> value, for every judged query; 0 where the run lacks the query."""
    mean: Mapping[str, float]
    """Measure -> mean over all judged queries."""


def evaluate(run: Run, qrels: Qrels, measures: Sequence[str] = DEFAULT_MEASURES) -> Evaluation:
    """Evaluate ``run`` over every query of ``qrels``; the order of each list is the ranking.

    ``measures`` are names of ir_measures (``nDCG@10``, ``AP(rel=2)``, ``R@100``, ...). Ties cannot
    occur: scores are lowered to strictly decreasing 32-bit floats first, exactly as ``write_run``
    does, so any evaluator computes the same from the file.

    Raises DataError on an unknown measure and on a run and qrels that share no query.
    """
    import ir_measures

    parsed = {name: _parse(name) for name in measures}
    if not set(run) & set(qrels):
        raise DataError(
            f"the run ({len(run)} queries) and the qrels ({len(qrels)} queries) share no query: "
            "they belong to different collections or splits"
        )
    scored = {
        query_id: dict(
            zip(
                (doc.id for doc in docs),
                decreasing_float32([doc.score for doc in docs]),
                strict=True,
            )
        )
        for query_id, docs in run.items()
        if query_id in qrels
    }
    names = {str(measure): name for name, measure in parsed.items()}
    per_query: dict[str, dict[str, float]] = {n: dict.fromkeys(qrels, 0.0) for n in parsed}
    judged = {query_id: dict(gains) for query_id, gains in qrels.items()}
    for value in ir_measures.iter_calc(list(parsed.values()), judged, scored):
        per_query[names[str(value.measure)]][value.query_id] = float(value.value)
    mean = {name: math.fsum(values.values()) / len(qrels) for name, values in per_query.items()}
    return Evaluation(per_query=per_query, mean=mean)


def ndcg(
    order: Sequence[int],
    gains: Sequence[int],
    *,
    k: int = 10,
    ideal: Sequence[int] | None = None,
) -> float:
    """nDCG@k of candidates taken in ``order`` (best first) whose relevance is ``gains``: 0 to 1.

    trec_eval's definition: the gain is the relevance itself (negative counts as 0), discounted by
    log2(rank + 1). ``ideal`` holds the relevance of *all* judged documents of the query, also
    those that are not candidates; then the value equals the run's nDCG@k. Without it the best
    order of the candidates alone scores 1, a reward that does not punish the first stage's
    misses. No relevant document anywhere: 0.
    """
    best = _dcg(sorted(gains if ideal is None else ideal, reverse=True)[:k])
    return _dcg([gains[i] for i in order[:k]]) / best if best > 0 else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(max(gain, 0) / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _parse(name: str) -> "Measure":
    import ir_measures

    try:
        return ir_measures.parse_measure(name)
    except (ValueError, NameError, SyntaxError) as error:
        raise DataError(
            f"unknown measure {name!r} ({error}): try nDCG@10, RR@10, AP, R@100"
        ) from None
