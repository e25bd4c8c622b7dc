"""Dense candidates through sentence-transformers, with the matrix of the corpus cached on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankers.backends.sentence_load import load_sentence_model
from rankers.files.atomic import published_folder
from rankers.files.cache import cache_trouble, content_key, default_cache_dir, file_key
from rankers.types import Collection, ScoredDoc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORMAT = 2  # part of every cache key: raise it when what is cached changes
_LARGE = 500_000
"""Documents from which FAISS searches, where it is installed; exact as well, but threaded."""
_CHUNK = 100_000


def dense_run(
    collection: Collection,
    model: str | Path,
    *,
    depth: int = 100,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    max_tokens: int = 512,
    batch_size: int = 64,
    cache_dir: Path | None = None,
) -> dict[str, list[ScoredDoc]]:
    """The ``depth`` documents of highest cosine with each query, by exact search.

    ``model`` is a folder of sentence-transformers (or a hub name); longer texts are cut. Prompts
    stand before each text, by default those that come with the model. Raises DataError where the
    model cannot be loaded.
    """
    encoder = _encoder(model, max_tokens)
    if document_prompt is None:
        document_prompt = encoder.prompts.get("document") or ""
    name = file_key(Path(model)) if Path(model).is_dir() else str(model)
    texts = [document.content for document in collection.corpus.values()]
    key = content_key([_FORMAT, name, max_tokens, document_prompt, *texts])
    documents = _cached(
        (cache_dir or default_cache_dir()) / "dense" / key,
        lambda: _encode(encoder.encode_document, texts, document_prompt, batch_size),
    )
    queries = _encode(
        encoder.encode_query, list(collection.queries.values()), query_prompt, batch_size
    )
    spare = max(map(len, collection.excluded.values()), default=0)
    best, scores = nearest(queries, documents, depth + spare)
    ids = list(collection.corpus)
    run: dict[str, list[ScoredDoc]] = {}
    for row, query_id in enumerate(collection.queries):
        out = collection.excluded.get(query_id, frozenset())
        docs = [
            ScoredDoc(ids[i], float(score))
            for i, score in zip(best[row].tolist(), scores[row].tolist(), strict=True)
        ]
        run[query_id] = [doc for doc in docs if doc.id not in out][:depth]
    return run


def dense_tag(model: str | Path) -> str:
    """The tag a run of ``dense_run`` goes by in TREC files; of a folder, with its content."""
    content = [file_key(Path(model))[:8]] if Path(model).is_dir() else []
    return "-".join(["dense", *Path(model).name.split(), *content])


def nearest(
    queries: "NDArray[np.float32]", documents: "NDArray[np.float32]", depth: int
) -> tuple["NDArray[np.int64]", "NDArray[np.float32]"]:
    """Row numbers and inner products of the ``depth`` best rows of ``documents`` (best first) for
    every row of ``queries``; ties by row number."""
    import numpy as np

    depth = min(depth, len(documents))
    if len(documents) >= _LARGE and (found := _faiss(queries, documents, depth)) is not None:
        return found
    best = np.empty((len(queries), 0), dtype=np.int64)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(documents), _CHUNK):
        products = queries @ np.asarray(documents[start : start + _CHUNK]).T
        rows = np.broadcast_to(np.arange(start, start + products.shape[1]), products.shape)
        best, scores = np.hstack([best, rows]), np.hstack([scores, products])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        best, scores = np.take_along_axis(best, order, 1), np.take_along_axis(scores, order, 1)
    return best, scores


def _faiss(
    queries: "NDArray[np.float32]", documents: "NDArray[np.float32]", depth: int
) -> tuple["NDArray[np.int64]", "NDArray[np.float32]"] | None:
    import importlib.util

    if importlib.util.find_spec("faiss") is None:
        return None
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(documents)
    scores, best = index.search(queries, depth)
    return best, scores


def _cached(target: Path, encode: Callable[[], "NDArray[np.float32]"]) -> "NDArray[np.float32]":
    import numpy as np

    with cache_trouble(target.parent):
        if not target.is_dir():
            with published_folder(target) as folder:
                np.save(folder / "documents.npy", encode())
        matrix: NDArray[np.float32] = np.load(target / "documents.npy", mmap_mode="r")
    return matrix


def _encode(
    encode: Callable[..., Any], texts: Sequence[str], prompt: str | None, batch_size: int
) -> "NDArray[np.float32]":
    vectors: NDArray[np.float32] = encode(
        list(texts),
        prompt=prompt,
        batch_size=batch_size,
        normalize_embeddings=True,
        convert_to_numpy=True,
        show_progress_bar=False,
    )
    return vectors


def _encoder(model: str | Path, max_tokens: int) -> Any:
    encoder = load_sentence_model("SentenceTransformer", model)
    encoder.max_seq_length = min(max_tokens, encoder.max_seq_length or max_tokens)
    return encoder
