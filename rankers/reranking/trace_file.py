"""The trace of a reranking on disk: one line per finished query, from which it can be resumed.

The first line holds the settings. A run that was killed leaves whole lines; a line that is damaged
is left out, and its query ranked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rankers.errors import UserError
from rankers.files import jsonl
from rankers.reranker.reranker import Problem
from rankers.types import Ranking, ScoredDoc

SETTINGS = "settings"


OUT = "out"


class TraceFile:
    """Finished queries of one reranking."""

    def __init__(self, path: Path, settings: Mapping[str, object], *, out: str = "") -> None:
        """Open or create the trace of the file called ``out``.

        Raises UserError where ``path`` is no trace or was made under other settings; it is left as
        it is then.
        """
        self.path = path
        self.finished: dict[str, list[ScoredDoc]] = {}
        self._head = {SETTINGS: settings} | ({OUT: out} if out else {})
        if _torn_head(path):
            path.unlink()
        records, self.damaged = jsonl.recover(path)
        self._begun = bool(records or self.damaged)
        if self._begun:
            _compare(path, records[0].get(SETTINGS) if records else None, settings)
        for record in records[1:]:
            try:
                self.finished[str(record["query"])] = _ranking(record["ranking"])
            except (KeyError, TypeError, ValueError):
                self.damaged += 1
        if self.damaged:
            jsonl.keep(path, lambda r: SETTINGS in r or r.get("query") in self.finished)

    def add(self, problem: Problem, ranking: Ranking) -> None:
        """Write down a finished query, the first one after the settings."""
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            jsonl.append(self.path, self._head)
            self._begun = True
        query, passages = problem
        docs = ranking.run_line([passage.id for passage in passages])
        trace = asdict(ranking.trace)
        jsonl.append(self.path, {"query": query.id, "ranking": docs, **trace})
        self.finished[query.id] = docs


def owner(path: Path) -> str:
    """The name of the output that a trace belongs to; empty where it does not say."""
    records = jsonl.read(path)
    return str(records[0].get(OUT, "")) if records else ""


def _torn_head(path: Path) -> bool:
    """Whether a writer was killed at its very first line, so that nothing is lost."""
    if not path.is_file():
        return False
    data = path.read_bytes()
    return b"\n" not in data and data.startswith(f'{{"{SETTINGS}"'.encode())


def _ranking(rows: list[list[object]]) -> list[ScoredDoc]:
    return [ScoredDoc(str(doc_id), float(str(score))) for doc_id, score in rows]


def _compare(path: Path, found: object, wanted: Mapping[str, object]) -> None:
    if not isinstance(found, Mapping):
        raise UserError(
            f"{path} does not begin with the settings of a reranking, or they are damaged: start "
            "over with --overwrite, or choose another --out"
        )
    for name in {**found, **wanted}:
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path} was made with {name} {found.get(name)!r}, not {wanted.get(name)!r}: "
                "resume with the same settings, or start over with --overwrite"
            )
