"""What is to be reranked: a TREC run over a collection, or JSON lines with queries and passages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rankers.datasets.load import IdenticalIds, load_collection, without_excluded
from rankers.errors import DataError, UserError
from rankers.files.text import json_row, numbered_lines
from rankers.files.trec import read_run
from rankers.files.trec_words import checked_id
from rankers.reranker.reranker import Problem
from rankers.types import Collection, Passage, Query, Run


class RankingProblems(Protocol):
    """Queries with their candidates, built when asked for."""

    @property
    def query_ids(self) -> Sequence[str]: ...

    def problem(self, query_id: str) -> Problem: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProblems:
    """The ``depth`` best documents of each query of a run; texts come from a collection."""

    collection: Collection
    run: Run
    depth: int
    query_ids: Sequence[str]

    def problem(self, query_id: str) -> Problem:
        docs = self.run[query_id][: self.depth]
        corpus = self.collection.corpus
        passages = [Passage(id=doc.id, text=corpus[doc.id].content) for doc in docs]
        return Query(id=query_id, text=self.collection.queries[query_id]), passages


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenProblems:
    """The ``depth`` first passages of each query of a JSONL file."""

    problems: Mapping[str, Problem]
    depth: int

    @property
    def query_ids(self) -> Sequence[str]:
        return tuple(self.problems)

    def problem(self, query_id: str) -> Problem:
        query, passages = self.problems[query_id]
        return query, passages[: self.depth]


def is_jsonl(path: Path) -> bool:
    """Whether the name says JSON lines."""
    return path.name.removesuffix(".gz").endswith(".jsonl")


def read_problems(
    *,
    dataset: str | None,
    split: str,
    run: Path,
    depth: int,
    identical_ids: IdenticalIds = "auto",
    queries: Literal["all", "judged"] = "all",
    say: Callable[[str], None] = lambda text: None,
) -> RankingProblems:
    """The problems of a run file. Raises DataError or UserError, one sentence, on what is wrong.

    Documents that the evaluation leaves out of a query's results are left out, and so are queries
    that the collection lacks and, with ``queries="judged"``, those that the split does not judge;
    ``say`` is told how many.
    """
    if is_jsonl(run):
        if dataset is not None:
            raise UserError(f"{run} brings its own passages: leave --dataset out")
        return GivenProblems(problems=dict(_rows(run)), depth=depth)
    if dataset is None:
        raise UserError(f"{run} names documents only: give the --dataset that has their texts")
    found = read_run(run)
    collection = load_collection(
        dataset, split, unknown_docs="keep", identical_ids=identical_ids, queries=queries
    )
    found = without_excluded(found, collection.excluded)
    query_ids = [query_id for query_id in found if query_id in collection.queries]
    where = f"{dataset}" if queries == "all" else f"split {split!r} of {dataset}"
    if not query_ids:
        raise DataError(f"no query of {run} is in {where}: check that they belong together")
    if left_out := len(found) - len(query_ids):
        say(f"{left_out} of {len(found)} queries of {run} are not in {where}: they are left out")
    unjudged = sum(query_id not in collection.qrels for query_id in query_ids)
    if unjudged:
        say(f"{unjudged} of {len(query_ids)} queries have no judgements in split {split!r}")
    for query_id in query_ids:
        for doc in found[query_id][:depth]:
            if doc.id not in collection.corpus:
                raise DataError(
                    f"{run}: document {doc.id!r} of query {query_id!r} is not in {dataset}: "
                    "check that they belong together"
                )
    return RunProblems(collection=collection, run=found, depth=depth, query_ids=query_ids)


def digest(path: Path) -> str:
    """Content hash of a file, for telling whether it is still the same."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _rows(path: Path) -> list[tuple[str, Problem]]:
    rows: dict[str, Problem] = {}
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        row = json_row(line, where)
        if not isinstance(row, dict) or not isinstance(row.get("passages"), list):
            raise DataError(f'{where}: expected {{"query": ..., "passages": [...]}}')
        query = _query(row.get("query"), row.get("id"), number, where)
        if query.id in rows:
            raise DataError(f"{where}: query id {query.id!r} is there twice: ids must be unique")
        passages = [_passage(item, i, where) for i, item in enumerate(row["passages"])]
        if len({passage.id for passage in passages}) < len(passages):
            raise DataError(f"{where}: a passage id is there twice: ids must be unique")
        rows[query.id] = (query, passages)
    if not rows:
        raise DataError(f"{path} is empty: it must hold at least one JSON line")
    return list(rows.items())


def _query(value: object, row_id: object, number: int, where: str) -> Query:
    fields: dict[str, object] = value if isinstance(value, dict) else {"text": value, "id": row_id}
    text, name = fields.get("text"), fields.get("id")
    if not isinstance(text, str):
        raise DataError(f"{where}: 'query' must be a string or {{'id', 'text'}}, got {value!r}")
    return Query(id=_id(name, str(number), where), text=text)


def _passage(value: object, index: int, where: str) -> Passage:
    fields: dict[str, object] = value if isinstance(value, dict) else {"text": value}
    text, title = fields.get("text"), fields.get("title") or ""
    if not isinstance(text, str) or not isinstance(title, str):
        raise DataError(
            f"{where}: passage {index} must be a string or {{'id', 'title', 'text'}}, got {value!r}"
        )
    content = f"{title} {text}".strip()
    return Passage(id=_id(fields.get("id"), str(index), where), text=content)


def _id(value: object, default: str, where: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str):
        raise DataError(f"{where}: an id must be a string, got {value!r}")
    return checked_id(value, where)
