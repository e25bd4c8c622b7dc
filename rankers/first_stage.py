"""BM25 candidates for the queries of a collection, with index and run cached by content."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from rankers.cache import content_key, default_cache_dir, published
from rankers.types import Collection, Document, ScoredDoc

Engine = Literal["lucene", "bm25s"]

_FORMAT = 1  # part of every cache key: raise it when what is cached changes


def bm25_run(
    collection: Collection,
    *,
    depth: int = 100,
    k1: float = 0.9,
    b: float = 0.4,
    cache_dir: Path | None = None,
    engine: Engine = "lucene",
    subprocess: bool = True,
) -> dict[str, list[ScoredDoc]]:
    """The ``depth`` best documents of every query, best first; fewer where fewer match.

    Title and text are one field ("flat" in Anserini's tables). A document whose id equals the
    query's is dropped, as BEIR prescribes. ``engine="lucene"`` is Pyserini's and the default;
    ``"bm25s"`` needs no Java, does no stemming and gives other numbers, so it is used only where
    asked for (``bm25_tag`` says which it was). ``subprocess=False`` keeps the JVM in this process.

    Raises ValueError on an impossible parameter, EngineError where the engine cannot run.
    """
    if depth < 1 or k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"need depth >= 1, k1 >= 0, 0 <= b <= 1, got {depth}, {k1}, {b}")
    root = (cache_dir or default_cache_dir()) / engine
    corpus_key = content_key([_FORMAT, *((d.id, d.content) for d in collection.corpus.values())])
    run_key = content_key([_FORMAT, corpus_key, depth, k1, b, *collection.queries.items()])
    cached = root / "runs" / run_key
    if not cached.is_dir():
        with published(cached) as folder:
            # One more than asked, because the query itself may be among them.
            if engine == "lucene":
                index = root / "indexes" / corpus_key
                found = _lucene(collection, index, depth + 1, k1, b, subprocess=subprocess)
            else:
                found = _bm25s(collection, depth + 1, k1, b)
            (folder / "run.json").write_text(json.dumps(_trimmed(found, depth)), "utf-8")
    rows = json.loads((cached / "run.json").read_text("utf-8"))
    return {query_id: [ScoredDoc(*row) for row in docs] for query_id, docs in rows.items()}


def bm25_tag(*, engine: Engine = "lucene", k1: float = 0.9, b: float = 0.4) -> str:
    """The tag a run of ``bm25_run`` goes by in TREC files: engine and parameters."""
    return f"bm25-{engine}-k1={k1:g}-b={b:g}"


def _trimmed(found: Mapping[str, list[ScoredDoc]], depth: int) -> dict[str, list[ScoredDoc]]:
    return {q: [doc for doc in docs if doc.id != q][:depth] for q, docs in found.items()}


def _lucene(
    collection: Collection, index: Path, depth: int, k1: float, b: float, *, subprocess: bool
) -> dict[str, list[ScoredDoc]]:
    from rankers import lucene  # here, so that the child does not import its main module twice

    with tempfile.TemporaryDirectory(prefix="bm25-") as name, ExitStack() as stack:
        folder = Path(name)
        queries, out = folder / "queries.json", folder / "run.json"
        queries.write_text(json.dumps(dict(collection.queries)), "utf-8")
        docs = None
        if not index.is_dir():
            docs = folder / "docs"
            _write_docs(collection.corpus, docs)
            index = stack.enter_context(published(index))
        job = lucene.Job(
            docs=None if docs is None else str(docs),
            index=str(index),
            queries=str(queries),
            out=str(out),
            depth=depth,
            k1=k1,
            b=b,
        )
        if subprocess:
            lucene.execute_in_subprocess(job, folder=folder)
        else:
            lucene.execute(job)
        return {q: [ScoredDoc(*row) for row in rows] for q, rows in _read(out).items()}


def _read(path: Path) -> dict[str, list[tuple[str, float]]]:
    rows: dict[str, list[tuple[str, float]]] = json.loads(path.read_text("utf-8"))
    return rows


def _write_docs(corpus: Mapping[str, Document], folder: Path) -> None:
    folder.mkdir()
    with (folder / "docs.jsonl").open("w", encoding="utf-8") as file:
        for document in corpus.values():
            file.write(json.dumps({"id": document.id, "contents": document.content}) + "\n")


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
