"""A collection written out as files: BEIR, MS MARCO TSV, or TREC."""

import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from rankers.errors import DataError
from rankers.files.atomic import write_lines
from rankers.files.trec import write_qrels
from rankers.files.trec_words import as_word
from rankers.types import Collection

Layout = Literal["beir", "msmarco", "trec"]


def write_collection(
    collection: Collection, folder: Path, *, split: str, layout: Layout = "beir"
) -> list[Path]:
    """Write one split so that ``load_collection(folder, split)`` reads it back; returns the files.

    Further splits may be added to the folder of the same corpus: documents are written anew, and
    in ``beir``, which keeps the queries of all splits in one file, so are other splits' queries.
    MS MARCO's layout has one line per document: line ends and tabs in texts become spaces. Outside
    BEIR's, ids with blanks are written as ``rankers.files.trec_words`` says. Each
    file appears whole or not at all.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: give a folder to write the collection to")
    return _LAYOUTS[layout](collection, folder, split)


def _beir(collection: Collection, folder: Path, split: str) -> list[Path]:
    queries = _earlier_queries(folder / "queries.jsonl") | dict(collection.queries)
    qrels = folder / "qrels" / f"{split}.tsv"
    write_lines(
        folder / "corpus.jsonl",
        (
            json.dumps({"_id": d.id, "title": d.title, "text": d.text}, ensure_ascii=False)
            for d in collection.corpus.values()
        ),
    )
    write_lines(
        folder / "queries.jsonl",
        (json.dumps({"_id": q, "text": t}, ensure_ascii=False) for q, t in queries.items()),
    )
    write_lines(qrels, ["query-id\tcorpus-id\tscore", *_judgement_rows(collection)])
    written = [folder / "corpus.jsonl", folder / "queries.jsonl", qrels]
    return written + _excluded(collection, folder / "excluded" / f"{split}.tsv")


def _msmarco(collection: Collection, folder: Path, split: str) -> list[Path]:
    documents, queries = folder / "collection.tsv", folder / f"queries.{split}.tsv"
    qrels = folder / f"qrels.{split}.tsv"
    titled = any(document.title for document in collection.corpus.values())
    write_lines(
        documents,
        (
            "\t".join([as_word(d.id), *map(_flat, (d.title, d.text) if titled else (d.text,))])
            for d in collection.corpus.values()
        ),
    )
    write_lines(queries, (f"{as_word(q)}\t{_flat(t)}" for q, t in collection.queries.items()))
    write_qrels(qrels, collection.qrels)
    return [documents, queries, qrels, *_excluded(collection, folder / f"excluded.{split}.txt")]


def _trec(collection: Collection, folder: Path, split: str) -> list[Path]:
    documents, topics = folder / "docs.trec", folder / f"topics.{split}.txt"
    qrels = folder / f"qrels.{split}.txt"
    write_lines(
        documents,
        (
            f"<DOC>\n<DOCNO>{_escaped(as_word(d.id))}</DOCNO>\n<TITLE>{_escaped(d.title)}</TITLE>\n"
            f"<TEXT>\n{_escaped(d.text)}\n</TEXT>\n</DOC>"
            for d in collection.corpus.values()
        ),
    )
    write_lines(topics, (f"{as_word(q)}\t{_flat(t)}" for q, t in collection.queries.items()))
    write_qrels(qrels, collection.qrels)
    return [documents, topics, qrels, *_excluded(collection, folder / f"excluded.{split}.txt")]


def _judgement_rows(collection: Collection) -> Iterator[str]:
    for query_id, gains in collection.qrels.items():
        yield from (f"{query_id}\t{doc_id}\t{grade}" for doc_id, grade in gains.items())


def _excluded(collection: Collection, path: Path) -> list[Path]:
    rows = [
        f"{as_word(q)}\t{as_word(d)}" for q, ids in collection.excluded.items() for d in sorted(ids)
    ]
    if not rows:
        return []
    write_lines(path, rows)
    return [path]


def _earlier_queries(path: Path) -> dict[str, str]:
    from rankers.datasets.parsers import jsonl_queries

    return {query.id: query.text for query in jsonl_queries(path)} if path.is_file() else {}


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _flat(text: str) -> str:
    return " ".join(text.split())


_LAYOUTS: dict[Layout, Callable[[Collection, Path, str], list[Path]]] = {
    "beir": _beir,
    "msmarco": _msmarco,
    "trec": _trec,
}
