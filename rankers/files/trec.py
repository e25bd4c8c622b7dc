"""TREC files: qrels and runs, read strictly and written so that all evaluators agree on the order.

trec_eval ignores the rank column, reads scores as 32-bit floats and breaks ties by document id,
descending; other tools break them ascending. Runs written here have strictly decreasing 32-bit
scores, so none of them has a tie to break.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rankers.errors import DataError
from rankers.files.atomic import write_lines
from rankers.files.text import numbered_lines
from rankers.files.trec_words import SPACE, as_id, as_word, words
from rankers.types import Qrels, Run, ScoredDoc

FLOAT32_MAX = (2 - 2**-23) * 2.0**127
"""The largest score that trec_eval can read."""
_HEADERS = frozenset({"score", "relevance", "rel", "label", "grade", "relevancy", "judgement"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:inf|infinity|nan)", re.IGNORECASE)
_DIGITS = 20
"""Of a grade, at most."""


class Judgement(NamedTuple):
    """One line of a qrels file."""

    number: int
    """Line number, from 1."""
    query_id: str
    doc_id: str
    relevance: int


def read_judgements(path: Path) -> Iterator[Judgement]:
    """The lines of a qrels file: ``query doc relevance`` with or without BEIR's header, or TREC's
    ``query iteration doc relevance``.

    Where tabs separate, ids may hold blanks. A grade may be written ``2.0``. Raises DataError on an
    empty file, a malformed line and a document judged twice for a query.
    """
    seen: set[tuple[str, str]] = set()
    for number, fields in _qrels_rows(path):
        where = f"{path}:{number}"
        query_id, doc_id, grade = fields[0], fields[-2], fields[-1]
        if not seen and grade.lower() in _HEADERS:
            continue
        relevance = _whole(grade)
        if relevance is None:
            raise DataError(f"{where}: relevance must be a whole number, got {grade!r}")
        if (query_id, doc_id) in seen:
            raise DataError(f"{where}: document {doc_id!r} is judged twice for query {query_id!r}")
        seen.add((query_id, doc_id))
        yield Judgement(number, query_id, doc_id, relevance)
    if not seen:
        raise DataError(f"{path} is empty: it must judge at least one document")


def _qrels_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields, by tabs or by white space as the whole file suggests."""
    lines = list(numbered_lines(path))
    tabs = _by_tabs([line for _, line in lines])
    for number, line in lines:
        columns = _columns(line) if tabs else []
        if columns:
            yield number, columns
            continue
        fields = [as_id(word) for word in words(line, f"{path}:{number}")]
        if len(fields) not in (3, 4):
            raise DataError(
                f"{path}:{number}: expected 'query doc relevance', got {line[:60]!r}: ids with "
                "blanks need tabs between the columns"
            )
        yield number, fields


def _by_tabs(lines: Sequence[str]) -> bool:
    """Whether tabs separate the columns, so that blanks belong to ids.

    A header with tabs says so. Without one, every line has columns by tabs, and not every line
    reads ``query 0 doc relevance`` by white space.
    """
    head = _columns(lines[0]) if lines else []
    if head and head[-1].lower() in _HEADERS:
        return True
    if not all(map(_columns, lines)):
        return False
    split = [line.split() for line in lines]
    return not all(len(row) == 4 and (row[1].isdigit() or row[1] == "Q0") for row in split)


def _columns(line: str) -> list[str]:
    """Three or four columns separated by tabs, none of them empty; else nothing."""
    columns = [column.strip(SPACE) for column in line.strip(SPACE).split("\t")]
    return columns if len(columns) in (3, 4) and all(columns) and "\0" not in line else []


def _whole(text: str) -> int | None:
    """The whole number that ``text`` is, ``2`` or ``2.0``; None where it is none."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        return None
    if text.lstrip("+-").isdigit():
        return int(text) if len(text) < _DIGITS else None
    return int(float(text)) if float(text).is_integer() else None


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query id -> document id -> relevance. Raises DataError as ``read_judgements`` does."""
    qrels: dict[str, dict[str, int]] = {}
    for line in read_judgements(path):
        qrels.setdefault(line.query_id, {})[line.doc_id] = line.relevance
    return qrels


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write TREC qrels, ids with blanks as in runs; the file appears whole or not at all."""
    write_lines(
        path,
        (
            f"{as_word(q)} 0 {as_word(d)} {rel}"
            for q, gains in qrels.items()
            for d, rel in gains.items()
        ),
    )


def read_run(path: Path) -> dict[str, list[ScoredDoc]]:
    """Read ``query Q0 doc rank score tag`` lines into lists in trec_eval's order.

    That is: by score as a 32-bit float, descending, then by document id, descending, whatever the
    rank column says. Ids may hold blanks where tabs separate, or where ``write_run`` wrote them.
    Raises DataError on an empty file, a malformed line, a score that is not
    finite as a 32-bit float, and a document listed twice for a query.
    """
    from rankers.files.trec_columns import read_run_columns

    return read_run_columns(path) or _read_run_lines(path)


def _read_run_lines(path: Path) -> dict[str, list[ScoredDoc]]:
    run: dict[str, dict[str, float]] = {}
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        query_id, doc_id, text = _run_fields(line, where)
        if not _NUMBER.fullmatch(text) and not _NOT_FINITE.fullmatch(text):
            raise DataError(f"{where}: score must be a number, got {text!r}")
        score = float(text)
        if not abs(score) <= FLOAT32_MAX:
            raise DataError(
                f"{where}: score of {doc_id!r} must be finite as a 32-bit float, got {text}"
            )
        docs = run.setdefault(query_id, {})
        if doc_id in docs:
            raise DataError(f"{where}: {doc_id!r} is listed twice for query {query_id!r}")
        docs[doc_id] = score
    if not run:
        raise DataError(f"{path} is empty: a run must hold at least one line")
    return {
        as_id(query_id): [ScoredDoc(as_id(doc.id), doc.score) for doc in _in_trec_order(docs)]
        for query_id, docs in run.items()
    }


def _run_fields(line: str, where: str) -> tuple[str, str, str]:
    """Query, document and score of a line: six words, or six columns separated by tabs."""
    fields = words(line, where)
    if len(fields) != 6:
        fields = [column.strip(SPACE) for column in line.strip(SPACE).split("\t")]
    if len(fields) != 6 or not all(fields):
        raise DataError(
            f"{where}: expected 'query Q0 doc rank score tag', got {line[:60]!r}: ids with blanks "
            "need tabs between the columns"
        )
    return fields[0], fields[2], fields[4]


def run_tag(path: Path) -> str:
    """The tag of a run's first line, which names the system; empty where there is none."""
    number, line = next(iter(numbered_lines(path)), (0, ""))
    return "".join(words(line, f"{path}:{number}")[5:6])


def write_run(path: Path, run: Run, *, tag: str) -> None:
    """Write a run so that every evaluator ranks as the lists do; whole or not at all.

    Scores are kept where they already decrease strictly as 32-bit floats; elsewhere each is
    lowered to the next 32-bit float below its predecessor. An id with blanks is written as
    ``rankers.files.trec_words`` says. Raises DataError on a document listed twice, on a score that
    is not finite, on an id that is empty and on a tag with blanks.
    """
    if tag != tag.strip(SPACE) or len(words(tag, "tag")) != 1:
        raise DataError(f"the tag of a run must be one word, got {tag!r}")
    write_lines(path, [line for query_id in run for line in _lines(query_id, run[query_id], tag)])


def _lines(query_id: str, docs: Sequence[ScoredDoc], tag: str) -> Iterator[str]:
    if len({doc.id for doc in docs}) < len(docs):
        raise DataError(f"query {query_id!r}: the run lists a document twice")
    scores = decreasing_float32([doc.score for doc in docs])
    for rank, (doc, score) in enumerate(zip(docs, scores, strict=True), 1):
        # 9 significant digits identify a 32-bit float.
        yield f"{as_word(query_id)} Q0 {as_word(doc.id)} {rank} {score:.9g} {tag}"


def decreasing_float32(scores: Sequence[float]) -> list[float]:
    """``scores`` as 32-bit floats, lowered as little as needed to decrease strictly.

    Raises DataError where a score is not finite in 32 bits.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = np.asarray(scores, dtype=np.float64).astype(np.float32)
    if not np.isfinite(rounded).all():
        worst = scores[int(np.argmin(np.isfinite(rounded)))]
        raise DataError(f"scores must be finite as 32-bit floats, got {worst}")
    # The bits of a float count the floats from 0 on: neighbours differ by 1, and "at most the
    # predecessor minus 1" is a running minimum of count + position. Denormals are left out of the
    # count, because a process that flushes them to zero would see ties.
    denormals = 0x7FFFFF
    bits = rounded.view(np.uint32).astype(np.int64)
    counts = np.maximum((bits & 0x7FFFFFFF) - denormals, 0) * np.where(bits >> 31, -1, 1)
    position = np.arange(len(counts))
    counts = np.minimum.accumulate(counts + position) - position
    magnitudes = np.where(counts != 0, np.abs(counts) + denormals, 0)
    bits = magnitudes | np.where(counts < 0, 0x80000000, 0)
    lowered: list[float] = bits.astype(np.uint32).view(np.float32).astype(np.float64).tolist()
    return lowered


def _in_trec_order(docs: dict[str, float]) -> list[ScoredDoc]:
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = np.array(list(docs.values())).astype(np.float32)
    found = [ScoredDoc(doc_id, score) for doc_id, score in docs.items()]
    if (np.diff(rounded) < 0).all():
        return found
    keys = zip(rounded.tolist(), docs, range(len(docs)), strict=True)
    return [found[i] for _, _, i in sorted(keys, reverse=True)]
