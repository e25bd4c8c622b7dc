"""Name or folder -> Collection: `pydoc`, a folder of files, or a name of ir_datasets."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rankers.datasets.folders import Parts, parts_of_folder
from rankers.errors import DataError
from rankers.files.cache import content_key
from rankers.types import Collection, Document, Qrels, Query, Run, ScoredDoc

UnknownDocs = Literal["error", "keep", "drop"]
IdenticalIds = Literal["auto", "drop", "keep"]


def load_collection(
    path_or_name: str | Path,
    split: str = "test",
    *,
    unknown_docs: UnknownDocs = "error",
    identical_ids: IdenticalIds = "auto",
    queries: Literal["judged", "all"] = "judged",
    cache_dir: Path | None = None,
) -> Collection:
    """One split of a collection: its whole corpus, and the queries its qrels judge.

    ``path_or_name`` is ``pydoc``, a folder (file names in ``rankers.datasets.folders``), or a name
    of ir_datasets (``beir/scifact/test``, or ``beir/scifact`` with that split), which downloads
    what it lacks.

    ``unknown_docs``: judgements about documents that the corpus lacks are an error, because they
    lower every measure in silence; ``keep`` accepts them (so the ideal ranking stays the official
    one), as does a folder with ``runs/``: a pool cut to candidate lists, where absent judged
    documents are expected; ``drop`` forgets them.

    ``identical_ids``: a document that is the query itself (ArguAna, Quora) is left out of the
    query's results. ``auto`` takes it for that where ids are equal and so are texts: in MS MARCO
    equal numbers mean nothing. ``drop`` goes by the ids alone, as BEIR's evaluator does.

    ``queries``: ``all`` keeps those that nobody has judged too, behind the others, and takes a
    split without judgements: a run can be made and reranked before anything is judged.

    Raises DataError, one sentence with file and line, on anything missing or malformed.
    """
    if str(path_or_name) == "pydoc":
        return _pydoc(split, cache_dir)
    folder, judged = Path(path_or_name), queries == "judged"
    if folder.is_dir():
        parts = parts_of_folder(folder, split, judged=judged)
    else:
        from rankers.datasets.by_name import parts_of_name

        parts = parts_of_name(str(path_or_name), split, judged=judged)
    return _assembled(parts, unknown_docs, identical_ids, judged=judged)


def judged_alone(collection: Collection) -> Collection:
    """The collection without the queries that nobody has judged."""
    return replace(collection, queries={q: collection.queries[q] for q in collection.qrels})


def collection_key(collection: Collection) -> str:
    """A name for the content of a collection: documents, queries, judgements and exclusions."""
    return content_key(
        [
            *((d.id, d.title, d.text) for d in collection.corpus.values()),
            *sorted(collection.queries.items()),
            *((q, sorted(gains.items())) for q, gains in sorted(collection.qrels.items())),
            *((q, sorted(ids)) for q, ids in sorted(collection.excluded.items())),
        ]
    )


def without_excluded(
    run: Run, excluded: Mapping[str, frozenset[str]]
) -> dict[str, list[ScoredDoc]]:
    """The run without the documents that each query's evaluation leaves out."""
    nothing: frozenset[str] = frozenset()
    return {
        query_id: [doc for doc in docs if doc.id not in out]
        if (out := excluded.get(query_id, nothing))
        else docs
        for query_id, docs in run.items()
    }


def _assembled(
    parts: Parts, unknown_docs: UnknownDocs, identical_ids: IdenticalIds, *, judged: bool
) -> Collection:
    corpus = {document.id: document for document in parts.documents}
    if not corpus:
        raise DataError(f"{parts.documents_from} is empty: it must hold at least one document")
    all_queries = {query.id: query for query in parts.queries}
    if not all_queries:
        raise DataError(f"{parts.queries_from} is empty: it must hold at least one query")
    qrels = _qrels(parts, corpus, all_queries, unknown_docs)
    kept = dict.fromkeys(qrels) if judged else {**dict.fromkeys(qrels), **all_queries}
    queries = {query_id: all_queries[query_id] for query_id in kept}
    excluded: dict[str, set[str]] = {}
    for query_id, doc_id in parts.excluded:
        if query_id in queries:
            excluded.setdefault(query_id, set()).add(doc_id)
    for query in queries.values():
        if query.id in corpus and _is_itself(query, corpus[query.id], identical_ids):
            excluded.setdefault(query.id, set()).add(query.id)
    return Collection(
        name=parts.name,
        corpus=corpus,
        queries={query.id: query.text for query in queries.values()},
        qrels=qrels,
        excluded={query_id: frozenset(ids) for query_id, ids in excluded.items()},
    )


def _qrels(
    parts: Parts,
    corpus: Mapping[str, Document],
    queries: Mapping[str, Query],
    unknown_docs: UnknownDocs,
) -> Qrels:
    keep = unknown_docs == "keep" or (unknown_docs == "error" and parts.pool)
    qrels: dict[str, dict[str, int]] = {}
    for line in parts.judgements:
        where = f"{parts.judgements_from}:{line.number}"
        if line.query_id not in queries:
            raise DataError(
                f"{where}: query {line.query_id!r} is not in {Path(parts.queries_from).name}"
                ": add it there or drop its judgements"
            )
        gains = qrels.setdefault(line.query_id, {})
        if line.doc_id in corpus or keep:
            gains[line.doc_id] = line.relevance
        elif unknown_docs == "error":
            raise DataError(
                f"{where}: document {line.doc_id!r} is not in {Path(parts.documents_from).name}: "
                "add it there, drop the judgement, or load the collection with unknown_docs=keep "
                "(--unknown-docs keep)"
            )
    return qrels


def _is_itself(query: Query, document: Document, rule: IdenticalIds) -> bool:
    if rule != "auto":
        return rule == "drop"
    texts = (document.title, document.text, document.content)
    return _folded([query.text])[0] in _folded(texts)


def _folded(texts: Iterable[str]) -> list[str]:
    return [" ".join(text.split()).casefold() for text in texts]


def _pydoc(split: str, cache_dir: Path | None) -> Collection:
    from rankers.datasets.pydoc import SPLITS, load_entries

    if split not in SPLITS:
        raise DataError(f"pydoc has no split {split!r}: use one of {', '.join(SPLITS)}")
    entries = load_entries(split, cache_dir=cache_dir)
    return Collection(
        name="pydoc",
        corpus={e.id: Document(id=e.id, title=e.title, text=e.body) for e in entries},
        queries={f"q:{e.id}": e.summary for e in entries},
        qrels={f"q:{e.id}": {e.id: 1} for e in entries},
    )
