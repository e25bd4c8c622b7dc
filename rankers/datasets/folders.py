"""A folder of files -> the parts of a collection, recognised by their names.

| part | BEIR | MS MARCO | TREC |
|---|---|---|---|
| documents | corpus.jsonl | collection.tsv | docs.trec |
| queries | queries.jsonl | queries.SPLIT.tsv, queries.tsv | topics.SPLIT.txt, topics.txt |
| judgements | qrels/SPLIT.tsv | qrels.SPLIT.tsv | qrels.SPLIT.txt, qrels.txt |
| left out | excluded/SPLIT.tsv | | excluded.SPLIT.txt |

Every file may be gzipped (``.gz``), and parts of different columns go together. A folder with
``documents/`` and ``examples/`` is BRIGHT as its authors publish it, one split per domain.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankers.datasets.parsers import (
    jsonl_documents,
    jsonl_queries,
    trec_documents,
    trec_topics,
    tsv_documents,
    tsv_queries,
)
from rankers.errors import DataError
from rankers.files.text import numbered_lines
from rankers.files.trec import Judgement, read_judgements
from rankers.files.trec_words import SPACE, as_id, words
from rankers.types import Document, Query

DOCUMENTS: dict[str, Callable[[Path], Iterator[Document]]] = {
    "corpus.jsonl": jsonl_documents,
    "collection.tsv": tsv_documents,
    "docs.trec": trec_documents,
}
QUERIES: dict[str, Callable[[Path], Iterator[Query]]] = {
    "queries.jsonl": jsonl_queries,
    "queries.{split}.tsv": tsv_queries,
    "queries.tsv": tsv_queries,
    "topics.{split}.txt": trec_topics,
    "topics.txt": trec_topics,
}
QRELS = ("qrels/{split}.tsv", "qrels.{split}.tsv", "qrels.{split}.txt", "qrels.txt")
EXCLUDED = ("excluded/{split}.tsv", "excluded.{split}.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a collection is put together from, not yet checked against one another."""

    name: str
    documents: Iterable[Document]
    queries: Iterable[Query]
    judgements: Iterable[Judgement]
    excluded: Iterable[tuple[str, str]] = ()
    """(query id, document id): documents that the evaluation of a query leaves out."""
    pool: bool = False
    """The documents are candidates cut from a larger corpus: judged ones may be absent."""
    documents_from: str
    queries_from: str
    judgements_from: str


def parts_of_folder(folder: Path, split: str, *, judged: bool = True) -> Parts:
    """The parts of one split. Raises DataError naming the file that is missing.

    Where not ``judged``, a split without judgements is no error.
    """
    missing = missing_parts(folder, split, judged=judged)
    if missing:
        raise DataError(missing[0])
    if _is_bright(folder):
        return _bright(folder, split)
    documents = _found(folder, DOCUMENTS, split)
    queries = _found(folder, QUERIES, split)
    qrels = _found(folder, QRELS, split)
    assert documents is not None  # see missing_parts
    assert queries is not None
    excluded = _found(folder, EXCLUDED, split)
    return Parts(
        name=folder.resolve().name,
        documents=DOCUMENTS[documents[0]](documents[1]),
        queries=QUERIES[queries[0]](queries[1]),
        judgements=() if qrels is None else read_judgements(qrels[1]),
        excluded=() if excluded is None else _read_excluded(excluded[1]),
        pool=(folder / "runs").is_dir(),
        documents_from=str(documents[1]),
        queries_from=str(queries[1]),
        judgements_from="" if qrels is None else str(qrels[1]),
    )


def missing_parts(folder: Path, split: str, *, judged: bool = True) -> list[str]:
    """A sentence for every file that ``parts_of_folder`` would miss. Reads none."""
    if _is_bright(folder):
        domains = ", ".join(splits_of_folder(folder)) or "none"
        return [
            f"{folder} has no {part}/{split}-*.parquet: the split of BRIGHT is a domain, "
            f"here {domains}"
            for part in ("documents", "examples")
            if not sorted((folder / part).glob(f"{split}-*.parquet"))
        ]
    missing = [
        f"{folder} has no {part}: it must hold {_names(patterns, split)}"
        for part, patterns in (("documents", DOCUMENTS), ("queries", QUERIES))
        if _found(folder, patterns, split) is None
    ]
    if judged and _found(folder, QRELS, split) is None:
        splits = splits_of_folder(folder)
        remedy = f"use one of {', '.join(splits)}" if splits else f"add {_names(QRELS, split)}"
        missing.append(f"{folder} has no split {split!r} ({_names(QRELS, split)}): {remedy}")
    return missing


def splits_of_folder(folder: Path) -> list[str]:
    """The splits that ``parts_of_folder`` finds judgements for, sorted."""
    if (folder / "examples").is_dir():
        return sorted({path.name.split("-")[0] for path in folder.glob("examples/*.parquet")})
    found = {"test"} if _found(folder, ("qrels.txt",), "") else set()
    for pattern in QRELS[:3]:
        before, after = pattern.split("{split}")
        for path in folder.glob(f"{before}*{after}*"):
            name = str(path.relative_to(folder)).removesuffix(".gz")
            if name.startswith(before) and name.endswith(after):
                found.add(name[len(before) : len(name) - len(after)])
    return sorted(found)


def is_collection(folder: Path) -> bool:
    """Whether the folder holds documents and judgements under names known here."""
    return _is_bright(folder) or (
        _found(folder, DOCUMENTS, "") is not None and splits_of_folder(folder) != []
    )


def given_runs(folder: Path) -> dict[str, Path]:
    """The runs that come with a collection (``runs/NAME.trec``) by name, sorted."""
    return {path.stem: path for path in sorted((folder / "runs").glob("*.trec"))}


def _is_bright(folder: Path) -> bool:
    return (folder / "documents").is_dir() and (folder / "examples").is_dir()


def _found(folder: Path, patterns: Iterable[str], split: str) -> tuple[str, Path] | None:
    for pattern in patterns:
        for suffix in ("", ".gz"):
            path = folder / (pattern.format(split=split) + suffix)
            if path.is_file():
                return pattern, path
    return None


def _names(patterns: Iterable[str], split: str) -> str:
    return " or ".join(pattern.format(split=split) for pattern in patterns)


def _read_excluded(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in numbered_lines(path):
        columns = [column.strip(SPACE) for column in line.strip(SPACE).split("\t")]
        if len(columns) == 2 and all(columns):  # ids may hold blanks
            yield as_id(columns[0]), as_id(columns[1])
            continue
        fields = words(line, f"{path}:{number}")
        if len(fields) != 2:
            raise DataError(f"{path}:{number}: expected 'query document', got {line[:60]!r}")
        yield as_id(fields[0]), as_id(fields[1])


def _bright(folder: Path, domain: str) -> Parts:
    """``documents/DOMAIN-*.parquet`` (id, content) and ``examples/DOMAIN-*.parquet``."""
    paths = {}
    for part in ("documents", "examples"):
        paths[part] = sorted((folder / part).glob(f"{domain}-*.parquet"))
    examples = [row for path in paths["examples"] for row in _parquet_rows(path)]
    where = ", ".join(map(str, paths["examples"]))
    return Parts(
        name=f"{folder.resolve().name}-{domain}",
        documents=(
            Document(id=str(row["id"]), title="", text=row["content"])
            for path in paths["documents"]
            for row in _parquet_rows(path)
        ),
        queries=(Query(id=str(row["id"]), text=row["query"]) for row in examples),
        judgements=(
            Judgement(number, str(row["id"]), str(doc_id), 1)
            for number, row in enumerate(examples, 1)
            for doc_id in row["gold_ids"]
        ),
        excluded=(
            (str(row["id"]), str(doc_id))
            for row in examples
            for doc_id in row["excluded_ids"]
            if doc_id not in (None, "N/A")  # how the authors write "none"
        ),
        documents_from=", ".join(map(str, paths["documents"])),
        queries_from=where,
        judgements_from=where,
    )


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from None
