"""Collections by name through ir_datasets, which downloads, verifies and caches what it lacks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rankers.datasets.folders import Parts
from rankers.errors import DataError
from rankers.files.trec import Judgement
from rankers.types import Document, Query

_EXCLUDED = -100
"""ir_datasets writes BRIGHT's excluded documents as judgements of this grade."""


def names(match: str = "") -> list[str]:
    """Names with documents and judgements whose text contains ``match``, sorted."""
    import ir_datasets

    registered = ir_datasets.registry._registered
    return sorted(n for n in registered if match in n and _judged(registered[n]))


def parts_of_name(name: str, split: str, *, judged: bool = True) -> Parts:
    """The parts of ``name/split``, or of ``name`` where it is a split already. Where not
    ``judged``, one without judgements is no error.

    Raises DataError on an unknown name, and, naming the files and where to put them, where they
    cannot be downloaded.
    """
    import ir_datasets

    full = full_name(name, split, judged=judged)
    dataset = ir_datasets.load(full)
    try:
        return _parts(dataset, full)
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise DataError(
            f"ir_datasets cannot get {full!r} ({type(error).__name__}): without network, "
            f"{_where_to_put(full)}, or give a folder"
        ) from error


def full_name(name: str, split: str, *, judged: bool = True) -> str:
    """``name/split``, or ``name`` where it is a split already. DataError where it is neither, or
    has no judgements though ``judged``. Downloads nothing."""
    import ir_datasets

    full = next((n for n in (f"{name}/{split}", name) if n in ir_datasets.registry), None)
    if full is None:
        raise DataError(
            f"no collection at {name!r}: give 'pydoc', a folder with documents, queries and qrels, "
            f"or a name of ir_datasets{_similar(name)}"
        )
    dataset = ir_datasets.load(full)
    if not (_judged(dataset) if judged else _has_texts(dataset)):
        splits = [n for n in names(f"{full}/") if n.startswith(f"{full}/")]
        remedy = f"use one of {', '.join(splits[:8])}" if splits else "choose another"
        raise DataError(f"ir_datasets' {full!r} has no judged queries: {remedy}")
    return full


def _parts(dataset: Any, name: str) -> Parts:
    judgements = list(dataset.qrels_iter()) if dataset.has_qrels() else []
    left_out = dataset.has_qrels() and _EXCLUDED in dataset.qrels_defs()
    return Parts(
        name=name.replace("/", "-"),
        documents=list(_documents(dataset)),
        queries=list(_queries(dataset)),
        judgements=[
            Judgement(number, line.query_id, line.doc_id, line.relevance)
            for number, line in enumerate(judgements, 1)
            if not (left_out and line.relevance == _EXCLUDED)
        ],
        excluded=[
            (line.query_id, line.doc_id)
            for line in judgements
            if left_out and line.relevance == _EXCLUDED
        ],
        documents_from=f"the documents of {name}",
        queries_from=f"the queries of {name}",
        judgements_from=f"the judgements of {name}",
    )


def _documents(dataset: Any) -> Iterator[Document]:
    fields = dataset.docs_cls()._fields
    body = next((field for field in ("text", "body") if field in fields), None)
    for row in dataset.docs_iter():
        if "title" in fields and body is not None:
            yield Document(id=row.doc_id, title=row.title or "", text=getattr(row, body) or "")
        else:
            yield Document(id=row.doc_id, title="", text=row.default_text())


def _queries(dataset: Any) -> Iterator[Query]:
    has_text = "text" in dataset.queries_cls()._fields
    for row in dataset.queries_iter():
        yield Query(id=row.query_id, text=row.text if has_text else row.default_text())


def _judged(dataset: Any) -> bool:
    return _has_texts(dataset) and bool(dataset.has_qrels())


def _has_texts(dataset: Any) -> bool:
    return bool(dataset.has_docs() and dataset.has_queries())


def _similar(name: str) -> str:
    import difflib

    import ir_datasets

    close = difflib.get_close_matches(name, list(ir_datasets.registry._registered), n=3)
    return f" (did you mean {' or '.join(close)}?)" if close else " (`rlpost data list --names`)"


def _where_to_put(name: str) -> str:
    """Which of ir_datasets' files to fetch by hand, and the names it looks for."""
    import ir_datasets

    top, *rest = name.split("/")
    config = Path(ir_datasets.__file__).parent / "etc" / "downloads.json"
    files: dict[str, Any] = json.loads(config.read_text("utf-8")).get(top, {})
    home = Path(ir_datasets.util.home_path()) / top
    wanted = [
        f"{entry['url']} as {home / entry['cache_path']}"
        for key, entry in files.items()
        if "url" in entry and "cache_path" in entry and _serves(key, top, rest)
    ]
    return f"put {', '.join(wanted)}" if wanted else f"put its files below {home}"


def _serves(key: str, top: str, rest: list[str]) -> bool:
    """Whether a download is of ``top/rest...``: its key names that part, or no other part."""
    part = key.split("/")[0]
    others = {name.split("/")[1] for name in names(f"{top}/") if name.startswith(f"{top}/")}
    return not rest or part == rest[0] or part not in others
