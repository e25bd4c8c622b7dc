"""The trace of a reranking on disk: one line per finished query, from which it can be resumed.

The first line holds the settings; a run that was killed leaves whole lines, and at most one torn
one, which is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rankers.reranker import Problem
from rankers.types import Ranking, ScoredDoc
from rlpost import jsonl
from rlpost.errors import UserError

SETTINGS = "settings"


class TraceFile:
    """Finished queries of one reranking."""

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        """Open or create. Raises UserError where ``path`` was made under other settings."""
        self.path = path
        self.finished: dict[str, list[ScoredDoc]] = {}
        self._settings = settings
        jsonl.keep(path, lambda record: True)
        records = _read(path)
        if records:
            _compare(path, records[0].get(SETTINGS), settings)
        self._begun = bool(records)
        for record in records[1:]:
            self.finished[record["query"]] = [ScoredDoc(*doc) for doc in record["ranking"]]

    def add(self, problem: Problem, ranking: Ranking) -> None:
        """Write down a finished query, the first one after the settings."""
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            jsonl.append(self.path, {SETTINGS: self._settings})
            self._begun = True
        query, passages = problem
        docs = ranking.run_line([passage.id for passage in passages])
        trace = asdict(ranking.trace)
        jsonl.append(self.path, {"query": query.id, "ranking": docs, **trace})
        self.finished[query.id] = docs


def _read(path: Path) -> list[jsonl.Record]:
    try:
        return jsonl.read(path)
    except ValueError as broken:
        raise UserError(f"{broken}: start over with --overwrite") from broken


def _compare(path: Path, found: object, wanted: Mapping[str, object]) -> None:
    if not isinstance(found, Mapping):
        raise UserError(f"{path} is no trace of a reranking: choose another --out")
    for name in {**found, **wanted}:
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path} was made with {name} {found.get(name)!r}, not {wanted.get(name)!r}: "
                "resume with the same settings, or start over with --overwrite"
            )
