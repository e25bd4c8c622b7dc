"""Name or folder -> Collection: the built-in `pydoc`, or any folder in BEIR layout."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from rankers.errors import DataError
from rankers.textfiles import first_existing, numbered_lines
from rankers.trec import read_judgements
from rankers.types import Collection, Document

UnknownDocs = Literal["error", "keep"]


def load_collection(
    path_or_name: str | Path,
    split: str = "test",
    *,
    unknown_docs: UnknownDocs = "error",
    cache_dir: Path | None = None,
) -> Collection:
    """One split of a collection: its whole corpus, and the queries its qrels judge.

    ``path_or_name`` is ``pydoc`` or a folder with ``corpus.jsonl``, ``queries.jsonl`` (both also
    as ``.gz``) and ``qrels/<split>.tsv``. Judgements about documents that the corpus lacks are an
    error, because they lower every measure in silence; ``unknown_docs="keep"`` accepts and keeps
    them (so the ideal ranking stays the official one), as does a folder with ``runs/``: a pool cut
    to candidate lists, where absent judged documents are expected.

    Raises DataError, one sentence with file and line, on anything missing or malformed.
    """
    if str(path_or_name) == "pydoc":
        return _pydoc(split, cache_dir)
    folder = Path(path_or_name)
    if not folder.is_dir():
        raise DataError(
            f"no collection at {str(path_or_name)!r}: give 'pydoc' or a folder with corpus.jsonl, "
            "queries.jsonl and qrels/<split>.tsv"
        )
    qrels_path = _qrels_path(folder, split)
    corpus_path = first_existing(folder, "corpus.jsonl", "corpus.jsonl.gz")
    queries_path = first_existing(folder, "queries.jsonl", "queries.jsonl.gz")
    corpus = {
        row["_id"]: Document(id=row["_id"], title=row["title"], text=row["text"])
        for row in _rows(corpus_path)
    }
    all_queries = {row["_id"]: row["text"] for row in _rows(queries_path)}
    keep = unknown_docs == "keep" or (folder / "runs").is_dir()
    qrels: dict[str, dict[str, int]] = {}
    for line in read_judgements(qrels_path):
        if line.query_id not in all_queries:
            raise DataError(
                f"{qrels_path}:{line.number}: query {line.query_id!r} is not in {queries_path.name}"
                ": add it there or drop its judgements"
            )
        if line.doc_id not in corpus and not keep:
            raise DataError(
                f"{qrels_path}:{line.number}: document {line.doc_id!r} is not in "
                f"{corpus_path.name}: add it there, drop the judgement, or load the collection "
                "with unknown_docs=keep"
            )
        qrels.setdefault(line.query_id, {})[line.doc_id] = line.relevance
    queries = {query_id: all_queries[query_id] for query_id in qrels}
    return Collection(name=folder.resolve().name, corpus=corpus, queries=queries, qrels=qrels)


def _pydoc(split: str, cache_dir: Path | None) -> Collection:
    from rankers.pydoc import SPLITS, load_entries

    if split not in SPLITS:
        raise DataError(f"pydoc has no split {split!r}: use one of {', '.join(SPLITS)}")
    entries = load_entries(split, cache_dir=cache_dir)
    return Collection(
        name="pydoc",
        corpus={e.id: Document(id=e.id, title=e.title, text=e.body) for e in entries},
        queries={f"q:{e.id}": e.summary for e in entries},
        qrels={f"q:{e.id}": {e.id: 1} for e in entries},
    )


def _qrels_path(folder: Path, split: str) -> Path:
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        found = sorted(other.stem for other in (folder / "qrels").glob("*.tsv"))
        remedy = f"use one of {', '.join(found)}" if found else "add that file"
        raise DataError(f"{folder} has no split {split!r} (qrels/{split}.tsv): {remedy}")
    return path


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a BEIR JSONL file with ``_id``, ``title`` (may be absent) and ``text``."""
    seen: set[str] = set()
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        try:
            row: Any = json.loads(line)
        except ValueError as broken:
            raise DataError(f"{where}: not valid JSON ({broken}): mend or remove it") from None
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, got {line[:40]!r}")
        fields: dict[str, str] = {}
        for name, value in (
            ("_id", row.get("_id")),
            ("title", row.get("title") or ""),
            ("text", row.get("text")),
        ):
            if not isinstance(value, str):
                raise DataError(f"{where}: field {name!r} must be a string, got {value!r}")
            fields[name] = value
        if fields["_id"].split() != [fields["_id"]]:
            raise DataError(
                f"{where}: id {fields['_id']!r} must be one word: TREC files separate by spaces"
            )
        if fields["_id"] in seen:
            raise DataError(f"{where}: duplicate id {fields['_id']!r}: ids must be unique")
        seen.add(fields["_id"])
        yield fields
    if not seen:
        raise DataError(f"{path} is empty: it must hold at least one JSON line")
