"""BM25 candidates for the queries of a collection, with index and run cached by content."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

from rankers.datasets.load import without_excluded
from rankers.files.atomic import published_folder
from rankers.files.cache import cache_trouble, content_key, default_cache_dir
from rankers.types import Collection, Document, ScoredDoc

Bm25Engine = Literal["lucene", "bm25s"]
Fields = Literal["flat", "multifield"]

_FORMAT = 2  # part of every cache key: raise it when what is cached changes


class Rm3(NamedTuple):
    """Query expansion by pseudo-relevance feedback; the defaults are Anserini's."""

    terms: int = 10
    docs: int = 10
    original_weight: float = 0.5


def bm25_run(
    collection: Collection,
    *,
    depth: int = 100,
    k1: float = 0.9,
    b: float = 0.4,
    fields: Fields = "flat",
    rm3: Rm3 | None = None,
    cache_dir: Path | None = None,
    engine: Bm25Engine = "lucene",
    subprocess: bool = True,
) -> dict[str, list[ScoredDoc]]:
    """The ``depth`` best documents of every query, best first; fewer where fewer match.

    ``fields``, as in Anserini's tables: ``flat`` joins title and text, ``multifield`` searches
    both with equal weight. Documents that the collection leaves out for a query are dropped.
    ``engine="lucene"`` is Pyserini's and the default; ``"bm25s"`` needs no Java, does no stemming
    and gives other numbers, so it is used only where asked for (``bm25_tag`` says which it was).
    ``subprocess=False`` keeps the JVM in this process.

    Raises ValueError on an impossible parameter, EngineError where the engine cannot run.
    """
    if depth < 1 or k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"need depth >= 1, k1 >= 0, 0 <= b <= 1, got {depth}, {k1}, {b}")
    if engine == "bm25s" and (fields != "flat" or rm3 is not None):
        raise ValueError("bm25s has neither multifield search nor RM3: use engine 'lucene'")
    if fields == "multifield" and rm3 is not None:
        raise ValueError("RM3 expands queries of flat indexes only")
    root = (cache_dir or default_cache_dir()) / engine
    with cache_trouble(root):
        return _cached_run(collection, depth, k1, b, fields, rm3, root, engine, subprocess)


def _cached_run(
    collection: Collection,
    depth: int,
    k1: float,
    b: float,
    fields: Fields,
    rm3: Rm3 | None,
    root: Path,
    engine: Bm25Engine,
    subprocess: bool,
) -> dict[str, list[ScoredDoc]]:
    texts = (
        (d.id, d.content) if fields == "flat" else (d.id, d.title, d.text)
        for d in _docs(collection)
    )
    corpus_key = content_key([_FORMAT, fields, *texts])
    excluded = [(q, sorted(ids)) for q, ids in sorted(collection.excluded.items())]
    run_key = content_key(
        [_FORMAT, corpus_key, depth, k1, b, rm3, excluded, *collection.queries.items()]
    )
    cached = root / "runs" / run_key
    if not cached.is_dir():
        with published_folder(cached) as folder:
            spare = max(map(len, collection.excluded.values()), default=0)
            if engine == "lucene":
                search = _Search(depth=depth + spare, k1=k1, b=b, fields=fields, rm3=rm3)
                index = root / "indexes" / corpus_key
                found = _lucene(collection, index, search, subprocess=subprocess)
            else:
                found = _bm25s(collection, depth + spare, k1, b)
            kept = without_excluded(found, collection.excluded)
            trimmed = {query_id: docs[:depth] for query_id, docs in kept.items()}
            (folder / "run.json").write_text(json.dumps(trimmed), "utf-8")
    rows = json.loads((cached / "run.json").read_text("utf-8"))
    return {query_id: [ScoredDoc(*row) for row in docs] for query_id, docs in rows.items()}


def bm25_tag(
    *,
    engine: Bm25Engine = "lucene",
    k1: float = 0.9,
    b: float = 0.4,
    fields: Fields = "flat",
    rm3: Rm3 | None = None,
) -> str:
    """The tag a run of ``bm25_run`` goes by in TREC files: engine and parameters."""
    tag = f"bm25-{engine}-k1={k1:g}-b={b:g}"
    if fields == "multifield":
        tag += "-multifield"
    return tag if rm3 is None else f"{tag}-rm3={rm3.terms},{rm3.docs},{rm3.original_weight:g}"


class _Search(NamedTuple):
    depth: int
    k1: float
    b: float
    fields: Fields
    rm3: Rm3 | None


def _docs(collection: Collection) -> Iterable[Document]:
    return collection.corpus.values()


def _lucene(
    collection: Collection, index: Path, search: _Search, *, subprocess: bool
) -> dict[str, list[ScoredDoc]]:
    from rankers.first_stage import (
        lucene,  # here, so that the child does not import its main module twice
    )

    with tempfile.TemporaryDirectory(prefix="bm25-") as name, ExitStack() as stack:
        folder = Path(name)
        queries, out = folder / "queries.json", folder / "run.json"
        queries.write_text(json.dumps(dict(collection.queries)), "utf-8")
        docs, titles = None, search.fields == "multifield"
        if not index.is_dir():
            docs = folder / "docs"
            _write_docs(collection.corpus, docs, titles=titles)
            index = stack.enter_context(published_folder(index))
        job = lucene.SearchJob(
            docs=None if docs is None else str(docs),
            index=str(index),
            queries=str(queries),
            out=str(out),
            depth=search.depth,
            k1=search.k1,
            b=search.b,
            titles=titles,
            rm3=search.rm3,
        )
        if subprocess:
            lucene.execute_in_subprocess(job, folder=folder)
        else:
            lucene.execute(job)
        return {q: [ScoredDoc(*row) for row in rows] for q, rows in _read(out).items()}


def _read(path: Path) -> dict[str, list[tuple[str, float]]]:
    rows: dict[str, list[tuple[str, float]]] = json.loads(path.read_text("utf-8"))
    return rows


def _write_docs(corpus: Mapping[str, Document], folder: Path, *, titles: bool) -> None:
    folder.mkdir()
    with (folder / "docs.jsonl").open("w", encoding="utf-8") as file:
        for document in corpus.values():
            row = {"id": document.id, "contents": document.content}
            if titles:
                row |= {"contents": document.text, "title": document.title}
            file.write(json.dumps(row) + "\n")


def _bm25s(collection: Collection, depth: int, k1: float, b: float) -> dict[str, list[ScoredDoc]]:
    import bm25s

    ids = list(collection.corpus)
    texts = [document.content for document in collection.corpus.values()]
    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(
        list(collection.queries.values()), stopwords="en", show_progress=False, return_ids=False
    )
    picks, scores = index.retrieve(tokens, k=min(depth, len(ids)), show_progress=False)
    return {
        query_id: [
            ScoredDoc(ids[pick], float(score))
            for pick, score in zip(picks[row], scores[row], strict=True)
            if score > 0
        ]
        for row, query_id in enumerate(collection.queries)
    }
