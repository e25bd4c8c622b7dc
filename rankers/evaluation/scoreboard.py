"""Runs over the same queries: means, differences from a baseline, and whether they are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rankers.datasets.load import IdenticalIds, UnknownDocs, load_collection, without_excluded
from rankers.errors import UserError
from rankers.evaluation.measure_names import computable
from rankers.evaluation.measures import Evaluation, evaluate
from rankers.evaluation.provenance import provenance
from rankers.evaluation.significance import MultipleTesting, PairedComparison, compare, corrected
from rankers.files.trec import read_run
from rankers.types import Collection, Run

Queries = Literal["judged", "shared"]

COUNTED: dict[Queries, str] = {
    "judged": "Means are over all judged queries; a query that a run lacks counts 0.",
    "shared": "Means are over the judged queries that all runs have.",
}
POLICY = (
    "Order: score as a 32-bit float, then document id, both descending, as in trec_eval; ranks "
    "are ignored."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to evaluate and how: enough to do it again."""

    dataset: str
    runs: Sequence[str]
    """Files of TREC runs; a run is called by its file name without endings."""
    split: str = "test"
    measures: Sequence[str] = ("nDCG@10", "RR@10")
    baseline: str | None = None
    """Name of the run to compare with; None for the first."""
    correction: MultipleTesting = "holm"
    resamples: int = 10_000
    """Of the bootstrap and of the randomisation test."""
    seed: int = 0
    unknown_docs: UnknownDocs = "error"
    identical_ids: IdenticalIds = "auto"
    queries: Queries = "judged"
    """Which queries count; ``shared`` suits runs of a part of the queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A run against the baseline in one measure."""

    found: PairedComparison
    p_t_corrected: float
    """Of the paired t-test, corrected over the runs of one measure."""
    p_randomised_corrected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoreboard:
    """The outcome of a request."""

    request: Request
    collection: Collection
    baseline: str
    rankings: Mapping[str, Run]
    runs: Mapping[str, Evaluation]
    differences: Mapping[tuple[str, str], Difference]
    """(run, measure) -> run against the baseline."""
    notes: Sequence[str]
    """What a reader should know about single runs."""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values: means by run, comparisons as rows, and how to get them again."""
        return {
            "dataset": self.collection.name,
            "split": self.request.split,
            "queries": len(self.collection.qrels),
            "baseline": self.baseline,
            "runs": {name: dict(run.mean) for name, run in self.runs.items()},
            "comparisons": [
                {
                    "run": run,
                    "measure": measure,
                    "difference": row.found.mean,
                    "ci95": list(row.found.ci95),
                    "p_t_test": row.found.p,
                    "p_randomisation": row.found.p_randomised,
                    "correction": self.request.correction,
                    "p_t_test_corrected": row.p_t_corrected,
                    "p_randomisation_corrected": row.p_randomised_corrected,
                    "wins": row.found.wins,
                    "ties": row.found.ties,
                    "losses": row.found.losses,
                }
                for (run, measure), row in self.differences.items()
            ],
            "notes": list(self.notes),
            "request": asdict(self.request),
            "provenance": dict(self.provenance),
        }


def scoreboard(request: Request) -> Scoreboard:
    """Evaluate and compare. Raises DataError and UserError, one sentence, on bad input."""
    paths = [Path(run) for run in request.runs]
    names = [run_name(path) for path in paths]
    for run in request.runs:
        if run != run.encode("utf-8", "replace").decode():
            raise UserError(f"the name of the file {run!r} is not UTF-8: rename it")
    if len(set(names)) < len(names):
        raise UserError(f"two of the runs {', '.join(request.runs)} have the same name: rename one")
    if not paths or not request.measures:
        raise UserError("give at least one run and one measure to evaluate")
    baseline = names[0] if request.baseline is None else run_name(Path(request.baseline))
    if baseline not in names:
        raise UserError(f"baseline {request.baseline!r} is none of the runs {', '.join(names)}")
    computable(request.measures)
    collection = load_collection(
        request.dataset,
        request.split,
        unknown_docs=request.unknown_docs,
        identical_ids=request.identical_ids,
    )
    given = {name: read_run(path) for name, path in zip(names, paths, strict=True)}
    source = provenance(collection=collection, runs=dict(zip(names, paths, strict=True)))
    if request.queries == "shared":
        collection = _shared(collection, given)
    for name, path in zip(names, paths, strict=True):
        _refuse_stranger(name, path, given[name], collection)
    rankings = {name: without_excluded(run, collection.excluded) for name, run in given.items()}
    runs = {
        name: _evaluated(path, rankings[name], collection, request.measures)
        for name, path in zip(names, paths, strict=True)
    }
    return Scoreboard(
        request=request,
        collection=collection,
        baseline=baseline,
        rankings=rankings,
        runs=runs,
        differences=_differences(runs, baseline, request),
        notes=[*_notes(given, rankings, collection), *_damaged(source)],
        provenance=source,
    )


def run_name(path: Path) -> str:
    """``runs/a.trec.gz`` -> ``a``; only the endings of run files are taken off."""
    name = path.name.removesuffix(".gz")
    for ending in (".trec", ".txt", ".run"):
        name = name.removesuffix(ending)
    return name


def _shared(collection: Collection, runs: Mapping[str, Run]) -> Collection:
    """The collection with the judged queries alone that all runs have."""
    kept = set(collection.qrels).intersection(*runs.values())
    if not kept:
        raise UserError(
            f"no judged query of {collection.name} is in all of the runs {', '.join(runs)}: they "
            "belong to different collections or splits"
        )
    qrels = {query: judged for query, judged in collection.qrels.items() if query in kept}
    return replace(collection, qrels=qrels)


def _refuse_stranger(name: str, path: Path, run: Run, collection: Collection) -> None:
    """UserError where no document of the run is one of the collection's: all measures would be 0,
    though the queries fit."""
    if not set(run) & set(collection.qrels):
        return  # told with the queries
    docs, unknown = _unknown_docs(run, collection)
    if unknown and len(unknown) == len(docs):
        raise UserError(
            f"{len(unknown)} of {len(docs)} documents of {name}, such as {min(unknown)!r}, are not "
            f"in the collection {collection.name}, which has {next(iter(collection.corpus))!r}: "
            f"{path} belongs to another collection or version of it"
        )


def _unknown_docs(run: Run, collection: Collection) -> tuple[set[str], set[str]]:
    """Documents of a run for judged queries, and those of them that the collection knows neither
    as documents nor from judgements."""
    docs = {doc.id for query in collection.qrels for doc in run.get(query, ())}
    unknown = docs - collection.corpus.keys()
    for gains in collection.qrels.values() if unknown else ():
        unknown -= gains.keys()
    return docs, unknown


def _evaluated(path: Path, run: Run, collection: Collection, measures: Sequence[str]) -> Evaluation:
    if not set(run) & set(collection.qrels):
        raise UserError(
            f"{path} ({len(run)} queries) and {collection.name} ({len(collection.qrels)} judged "
            "queries) share no query: they belong to different collections or splits"
        )
    return evaluate(run, collection.qrels, measures)


def _differences(
    runs: Mapping[str, Evaluation], baseline: str, request: Request
) -> dict[tuple[str, str], Difference]:
    others = [name for name in runs if name != baseline]
    rows: dict[tuple[str, str], Difference] = {}
    for measure in request.measures:
        values = runs[baseline].per_query[measure]
        found = [
            compare(
                values,
                runs[name].per_query[measure],
                resamples=request.resamples,
                seed=request.seed,
            )
            for name in others
        ]
        by_t = corrected([row.p for row in found], request.correction)
        by_chance = corrected([row.p_randomised for row in found], request.correction)
        for name, row, p_t, p_randomised in zip(others, found, by_t, by_chance, strict=True):
            rows[name, measure] = Difference(
                found=row, p_t_corrected=p_t, p_randomised_corrected=p_randomised
            )
    return rows


def _damaged(source: Mapping[str, Any]) -> list[str]:
    return [
        f"{count} damaged lines of the trace of {name} are left out of what it cost."
        for name, run in source["runs"].items()
        if (count := run.get("trace_lines_damaged"))
    ]


def _notes(
    given: Mapping[str, Run], rankings: Mapping[str, Run], collection: Collection
) -> list[str]:
    notes = []
    judged = set(collection.qrels)
    for name, run in given.items():
        if lacking := len(judged - set(run)):
            notes.append(f"{name} lacks {lacking} of {len(judged)} judged queries: they count 0.")
        if others := len(set(run) - judged):
            notes.append(f"{name} has {others} other queries: they do not count.")
        docs, unknown = _unknown_docs(run, collection)
        if unknown:
            notes.append(
                f"{len(unknown)} of {len(docs)} documents of {name} are not in the collection, "
                f"such as {min(unknown)!r}."
            )
        if not any(
            doc.id in gains for q, gains in collection.qrels.items() for doc in run.get(q, ())
        ):
            notes.append(f"No document of {name} is judged: every measure of relevance is 0.")
        left_out = sum(len(run[q]) - len(docs) for q, docs in rankings[name].items())
        if left_out:
            notes.append(f"{left_out} documents of {name} are left out by the collection's rules.")
    if collection.num_judged_absent:
        notes.append(f"{collection.num_judged_absent} judged documents are not in the corpus.")
    return notes
