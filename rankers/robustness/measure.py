"""Ranks every variation and compares it with the given input, query by query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev
from typing import Any

from rankers.evaluation.measures import Evaluation, evaluate
from rankers.evaluation.run_cost import percentile
from rankers.evaluation.significance import PairedComparison, compare
from rankers.reranker.reranker import Problem
from rankers.robustness.variations import Variation, variations
from rankers.types import Qrels, Ranking, Run, ScoredDoc

Rank = Callable[[Sequence[Problem]], Sequence[Ranking]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationResult:
    """What became of the ranking under one variation."""

    dimension: str
    name: str
    mean: float
    change: PairedComparison
    """Variation minus the given input."""
    same_order: float
    """Share of queries whose whole ranking is the same."""
    tau: float
    """Kendall's tau between both rankings, mean over queries."""
    promoted_rate: float | None = None
    """Attacks: share of attacked passages that came to stand higher."""
    places: float | None = None
    """Attacks: places gained by the attacked passage, mean."""
    first: float | None = None
    """Attacks: share of attacked passages that came to stand first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferResult:
    """The reranker on another collection."""

    name: str
    queries: int
    first_stage: float
    reranked: float
    change: PairedComparison
    """Reranked minus first stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessReport:
    """All that was measured."""

    measure: str
    queries: int
    first_stage: float
    given: float
    """Mean for the input as given."""
    gain: PairedComparison
    """Given input minus first stage."""
    spread: float
    """Standard deviation over queries."""
    worst_tenth: float
    """Value that a tenth of the queries do not exceed."""
    failed: float
    """Share of queries with value 0."""
    varied: Sequence[VariationResult]
    elsewhere: Sequence[TransferResult]
    cost: Mapping[str, float]
    """Calls, tokens and seconds per query, for the input as given."""
    malformed: Mapping[str, Mapping[str, int]]
    """Dimension -> class of answer -> count; ``given`` for the input as given."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure_robustness(
    rank: Rank,
    problems: Sequence[Problem],
    qrels: Qrels,
    *,
    measure: str = "nDCG@10",
    shuffles: int = 5,
    repeats: int = 1,
    seed: int = 0,
    others: Mapping[str, tuple[Sequence[Problem], Qrels]] | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> RobustnessReport:
    """Rank the problems as given and in every variation. Measures count the problems' queries."""
    judged = {query.id: qrels[query.id] for query, _ in problems}
    on_progress("as given")
    rankings = rank(problems)
    given_run = _run(problems, rankings)
    given = evaluate(given_run, judged, [measure])
    values = list(given.per_query[measure].values())
    first = evaluate(_input(problems), judged, [measure])
    malformed = {"given": _malformed(rankings)}
    varied = []
    for variation in variations(problems, qrels, shuffles=shuffles, repeats=repeats, seed=seed):
        on_progress(f"{variation.dimension}: {variation.name}")
        found = rank(variation.problems)
        varied.append(_varied(variation, found, given, given_run, judged, measure))
        counts = Counter(malformed.get(variation.dimension, {}))
        malformed[variation.dimension] = dict(counts + Counter(_malformed(found)))
    return RobustnessReport(
        measure=measure,
        queries=len(problems),
        first_stage=first.mean[measure],
        given=given.mean[measure],
        gain=compare(first.per_query[measure], given.per_query[measure]),
        spread=pstdev(values),
        worst_tenth=percentile(values, 0.1),
        failed=values.count(0.0) / len(values),
        varied=varied,
        elsewhere=[
            _elsewhere(name, rank, *other, measure, on_progress)
            for name, other in (others or {}).items()
        ],
        cost=_cost(rankings),
        malformed=malformed,
    )


def _varied(
    variation: Variation,
    rankings: Sequence[Ranking],
    given: Evaluation,
    given_run: Run,
    qrels: Qrels,
    measure: str,
) -> VariationResult:
    run = _run(variation.problems, rankings)
    found = evaluate(run, qrels, [measure])
    pairs = [(_ids(given_run[query]), _ids(run[query])) for query in run]
    gained = [
        before.index(target) - after.index(target)
        for (before, after), target in zip(pairs, variation.targets, strict=False)
        if target
    ]
    on_top = [after[0] == t for (_, after), t in zip(pairs, variation.targets, strict=False) if t]
    return VariationResult(
        dimension=variation.dimension,
        name=variation.name,
        mean=found.mean[measure],
        change=compare(given.per_query[measure], found.per_query[measure]),
        same_order=fmean(before == after for before, after in pairs),
        tau=fmean(kendall_tau(before, after) for before, after in pairs),
        promoted_rate=fmean(places > 0 for places in gained) if gained else None,
        places=fmean(gained) if gained else None,
        first=fmean(on_top) if on_top else None,
    )


def _elsewhere(
    name: str,
    rank: Rank,
    problems: Sequence[Problem],
    qrels: Qrels,
    measure: str,
    on_progress: Callable[[str], None],
) -> TransferResult:
    on_progress(f"other collections: {name}")
    judged = {query.id: qrels[query.id] for query, _ in problems}
    first = evaluate(_input(problems), judged, [measure])
    found = evaluate(_run(problems, rank(problems)), judged, [measure])
    return TransferResult(
        name=name,
        queries=len(problems),
        first_stage=first.mean[measure],
        reranked=found.mean[measure],
        change=compare(first.per_query[measure], found.per_query[measure]),
    )


def kendall_tau(first: Sequence[str], second: Sequence[str]) -> float:
    """Agreement of two orders of the same items: 1 equal, -1 reversed; 1 for fewer than two."""
    place = {item: i for i, item in enumerate(second)}
    places = [place[item] for item in first]
    pairs = len(places) * (len(places) - 1) // 2
    if not pairs:
        return 1.0
    agreed = sum(a < b for i, a in enumerate(places) for b in places[i + 1 :])
    return 2 * agreed / pairs - 1


def _run(problems: Sequence[Problem], rankings: Sequence[Ranking]) -> dict[str, list[ScoredDoc]]:
    return {
        query.id: ranking.run_line([passage.id for passage in passages])
        for (query, passages), ranking in zip(problems, rankings, strict=True)
    }


def _input(problems: Sequence[Problem]) -> dict[str, list[ScoredDoc]]:
    return {
        query.id: [ScoredDoc(passage.id, -float(i)) for i, passage in enumerate(passages)]
        for query, passages in problems
    }


def _ids(docs: Sequence[ScoredDoc]) -> list[str]:
    return [doc.id for doc in docs]


def _malformed(rankings: Sequence[Ranking]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for ranking in rankings:
        counts.update(ranking.trace.malformed)
    return dict(counts)


def _cost(rankings: Sequence[Ranking]) -> dict[str, float]:
    seconds = [ranking.trace.seconds for ranking in rankings]
    return {
        "calls": fmean(ranking.trace.calls for ranking in rankings),
        "prompt_tokens": fmean(ranking.trace.prompt_tokens for ranking in rankings),
        "generated_tokens": fmean(ranking.trace.generated_tokens for ranking in rankings),
        "seconds_p50": percentile(seconds, 0.5),
        "seconds_p95": percentile(seconds, 0.95),
    }
