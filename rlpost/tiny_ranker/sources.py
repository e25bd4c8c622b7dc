"""Texts for pre-training: pydoc and, where a folder of collections is given, four of its members.

Only training splits are read. A source with questions gives (question, relevant passage) pairs;
plain text gives passages from which questions are drawn later.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rankers.datasets import pydoc

TEXT_CHARS = 600
PLAIN_ARTICLES = 40_000
QUERY_SOURCES = ("qed_nq", "medquad", "wikicar_sample")
PLAIN_SOURCE = "lm_simplewiki/docs.jsonl.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Passages and, per question, the index of its relevant passage."""

    name: str
    passages: list[str]
    queries: list[str]
    positives: list[int]


def load_sources(data: Path | None) -> list[Source]:
    """The pydoc source and every known collection that the folder `data` holds."""
    sources = [_pydoc_source()]
    if data is None:
        return sources
    sources += [_beir_source(data / name) for name in QUERY_SOURCES if (data / name).is_dir()]
    if (data / PLAIN_SOURCE).is_file():
        sources.append(_plain_source(data / PLAIN_SOURCE))
    return sources


def _pydoc_source() -> Source:
    entries = pydoc.load_entries("train")
    return Source(
        name="pydoc",
        passages=[f"{entry.title} {entry.body}" for entry in entries],
        queries=[entry.summary for entry in entries],
        positives=list(range(len(entries))),
    )


def _beir_source(folder: Path) -> Source:
    row_of: dict[str, int] = {}
    passages: list[str] = []
    for row in _json_lines(folder / "corpus.jsonl"):
        row_of[row["_id"]] = len(passages)
        passages.append(f"{row.get('title', '')} {row['text'][:TEXT_CHARS]}".strip())
    texts = {row["_id"]: row["text"] for row in _json_lines(folder / "queries.jsonl")}
    pairs: dict[str, int] = {}
    with (folder / "qrels" / "train.tsv").open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            query_id, passage_id, grade = line.split("\t")
            if int(grade) > 0 and passage_id in row_of:
                pairs.setdefault(query_id, row_of[passage_id])
    return Source(
        name=folder.name,
        passages=passages,
        queries=[texts[query_id] for query_id in pairs],
        positives=list(pairs.values()),
    )


def _plain_source(path: Path) -> Source:
    passages = []
    for row in _json_lines(path):
        passages.append(f"{row['title']} {row['text'][:TEXT_CHARS]}")
        if len(passages) == PLAIN_ARTICLES:
            break
    return Source(name=path.parent.name, passages=passages, queries=[], positives=[])


def _json_lines(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a .jsonl file, or of its .gz beside it."""
    if not path.is_file():
        path = path.with_name(path.name + ".gz")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
