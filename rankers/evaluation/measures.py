"""How good a ranking is: measures of ir_measures over a run; nDCG of one order as a reward."""

import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rankers.errors import DataError
from rankers.evaluation.measure_names import MAX_GRADE, Computable, computable
from rankers.files.trec import decreasing_float32
from rankers.types import Qrels, Run, ScoredDoc

DEFAULT_MEASURES = ("nDCG@10", "RR@10")
_FAILURES = (
    ArithmeticError,
    AssertionError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    subprocess.SubprocessError,
)
"""How providers of ir_measures say that a run is none that they can measure."""


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
    does, so any evaluator computes the same from the file. A grade below 0 is not relevant, and a
    query that has no other counts 0.

    Raises DataError on a measure that cannot be computed, a document listed twice, and a run and
    qrels that share no query.
    """
    found = computable(measures)
    if not set(run) & set(qrels):
        raise DataError(
            f"the run ({len(run)} queries) and the qrels ({len(qrels)} queries) share no query: "
            "they belong to different collections or splits"
        )
    _refuse_high_grades(qrels)
    scored = {q: _scored(q, docs) for q, docs in run.items() if q in qrels and docs}
    per_query: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in found}
    for group in _groups(found):
        called: dict[str, list[str]] = {}
        for name in group:
            called.setdefault(str(found[name].measure), []).append(name)
        for measure, query_id, value in _values([found[name] for name in group], qrels, scored):
            for name in called[measure]:
                per_query[name][query_id] = value
    mean = {name: math.fsum(values.values()) / len(qrels) for name, values in per_query.items()}
    return Evaluation(per_query=per_query, mean=mean)


def _scored(query_id: str, docs: Sequence[ScoredDoc]) -> dict[str, float]:
    scores = decreasing_float32([doc.score for doc in docs])
    scored = dict(zip((doc.id for doc in docs), scores, strict=True))
    if len(scored) < len(docs):
        raise DataError(f"query {query_id!r}: the run lists a document twice")
    return scored


def _refuse_high_grades(qrels: Qrels) -> None:
    for query_id, gains in qrels.items():
        for doc_id, grade in gains.items():
            if grade > MAX_GRADE:
                raise DataError(
                    f"query {query_id!r}: the grade of {doc_id!r} is {grade}, measures take up to "
                    f"{MAX_GRADE}: scale the judgements"
                )


def _groups(found: Mapping[str, Computable]) -> list[list[str]]:
    """Names to be computed together. Measures with gains of their own come alone: ir_measures
    would compute others from those gains as well."""
    groups: dict[str, list[str]] = {}
    for name, (measure, provider) in found.items():
        key = name if "gains" in measure.params else f" {provider.NAME}"
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _values(
    wanted: Sequence[Computable], qrels: Qrels, scored: dict[str, dict[str, float]]
) -> Iterator[tuple[str, str, float]]:
    """(measure, query id, value) of measures that one provider computes."""
    provider = wanted[0].provider
    measures = list(dict.fromkeys(measure for measure, _ in wanted))
    names = ", ".join(map(str, measures))
    judged = {q: _readable(gains, provider.NAME) for q, gains in qrels.items()}
    ids = {query_id: query_id for query_id in qrels}
    if provider.NAME == "gdeval":
        _refuse_grades(judged, names, most=4)
        ids, judged, scored = _numbered(judged, scored)
    try:
        found = list(provider.iter_calc(measures, judged, scored))
    except _FAILURES as error:
        raise DataError(
            f"{names} cannot be computed from this run ({type(error).__name__}: {error})"
        ) from error
    for value in found:
        if not math.isfinite(value.value):
            raise DataError(f"{names}: the value of query {ids[value.query_id]!r} is not a number")
        yield str(value.measure), ids[value.query_id], float(value.value)


def _readable(gains: Mapping[str, int], provider: str) -> dict[str, int]:
    """The grades as the provider takes them.

    trec_eval tells a grade below 0 (in the pool, not judged) from 0 in bpref and infAP, but reads
    outside its tables where a query has no other. To everybody else both are not relevant, and
    some would make a negative gain of it.
    """
    if provider == "pytrec_eval" and any(grade >= 0 for grade in gains.values()):
        return dict(gains)
    return {doc_id: max(grade, 0) for doc_id, grade in gains.items()} or {"": 0}


def _refuse_grades(judged: Qrels, names: str, *, most: int) -> None:
    top = max(grade for gains in judged.values() for grade in gains.values())
    if top > most:
        raise DataError(f"{names}: gdeval takes grades up to {most}, the judgements go to {top}")


def _numbered(
    judged: Qrels, scored: dict[str, dict[str, float]]
) -> tuple[dict[str, str], dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Queries and documents under numbers, which is what gdeval reads; number -> query id."""
    numbers = {query_id: str(i) for i, query_id in enumerate(judged, 1)}
    docs: dict[str, str] = {}
    for part in (*judged.values(), *scored.values()):
        for doc_id in part:
            docs.setdefault(doc_id, str(len(docs)))
    return (
        {number: query_id for query_id, number in numbers.items()},
        {numbers[q]: {docs[d]: grade for d, grade in part.items()} for q, part in judged.items()},
        {numbers[q]: {docs[d]: score for d, score in part.items()} for q, part in scored.items()},
    )


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
