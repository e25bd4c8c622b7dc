"""Files of documents and of queries, read strictly: BEIR JSONL, MS MARCO TSV, TREC markup."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from rankers.errors import DataError
from rankers.files.text import json_row, numbered_lines
from rankers.files.trec_words import SPACE, as_id, checked_id, words
from rankers.types import Document, Query

_TAG = re.compile(r"<[^<>]*>")
_TEXT_TAGS = ("TITLE", "HEADLINE", "HEAD", "TEXT", "BODY")
_TITLE_TAGS = ("TITLE", "HEADLINE", "HEAD")


class _Block(NamedTuple):
    """One ``<DOC>`` or ``<top>`` element and the line it starts on."""

    number: int
    text: str


def jsonl_documents(path: Path) -> Iterator[Document]:
    """BEIR's ``corpus.jsonl``: ``_id``, ``title`` (may be absent), ``text``."""
    for row in _json_rows(path):
        yield Document(id=row["_id"], title=row["title"], text=row["text"])


def jsonl_queries(path: Path) -> Iterator[Query]:
    """BEIR's ``queries.jsonl``: ``_id``, ``text``."""
    for row in _json_rows(path):
        yield Query(id=row["_id"], text=row["text"])


def tsv_documents(path: Path) -> Iterator[Document]:
    """MS MARCO's ``collection.tsv``: id, tab, passage; with three columns the second is a title."""
    for doc_id, *texts in _tsv_rows(path, (2, 3)):
        yield Document(id=doc_id, title=texts[0] if len(texts) == 2 else "", text=texts[-1])


def tsv_queries(path: Path) -> Iterator[Query]:
    """MS MARCO's ``queries.*.tsv`` and TREC topics as TSV: id, tab, text."""
    for query_id, text in _tsv_rows(path, (2,)):
        yield Query(id=query_id, text=text)


def trec_documents(path: Path) -> Iterator[Document]:
    """TREC's ``<DOC>`` elements: DOCNO, a title (TITLE, HEADLINE or HEAD), TEXT or BODY."""
    seen: set[str] = set()
    for block in _blocks(path, "DOC"):
        where = f"{path}:{block.number}"
        doc_id = as_id(" ".join(words(_within(block.text, "DOCNO"), where)))
        if not doc_id:
            raise DataError(f"{where}: a <DOC> without <DOCNO>: every document needs an id")
        _new_id(doc_id, where, seen)
        parts = {tag: text for tag in _TEXT_TAGS if (text := _inside(block.text, tag))}
        title = next((parts[tag] for tag in _TITLE_TAGS if tag in parts), "")
        body = " ".join(text for tag, text in parts.items() if tag not in _TITLE_TAGS)
        yield Document(id=doc_id, title=title, text=body)


def trec_topics(path: Path) -> Iterator[Query]:
    """TREC topics: ``<top>`` with ``<num>`` and ``<title>``, XML ``<topic number=...>``, or TSV.

    The query is the title (for XML the ``query`` or ``title`` element).
    """
    first = next(iter(numbered_lines(path)), (0, ""))[1].lstrip()
    if not first.startswith("<"):
        yield from tsv_queries(path)
    elif first.lower().startswith("<top>"):
        yield from _sgml_topics(path)
    else:
        yield from _xml_topics(path)


def _sgml_topics(path: Path) -> Iterator[Query]:
    seen: set[str] = set()
    for block in _blocks(path, "top"):
        fields = {
            name.lower(): _squeezed(_TAG.sub(" ", text))
            for name, text in re.findall(r"<(num|title)>([^<]*)", block.text, re.IGNORECASE)
        }
        number = as_id(re.sub(r"^Number:\s*", "", fields.get("num", ""), flags=re.IGNORECASE))
        where = f"{path}:{block.number}"
        if not number or "title" not in fields:
            raise DataError(f"{where}: a <top> needs <num> and <title>")
        _new_id(number, where, seen)
        title = re.sub(r"^Topic:\s*", "", fields["title"], flags=re.IGNORECASE)
        yield Query(id=number, text=title)


def _xml_topics(path: Path) -> Iterator[Query]:
    text = "\n".join(line for _, line in numbered_lines(path))
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}:{error.position[0]}: not valid XML ({error})") from None
    seen: set[str] = set()
    for topic in root.iter("topic"):
        query_id = as_id((topic.get("number") or topic.get("id") or "").strip())
        title = next((topic.findtext(tag) for tag in ("query", "title") if topic.findtext(tag)), "")
        if not query_id or not title:
            raise DataError(f"{path}: topic {query_id!r} needs a number and a query or title")
        _new_id(query_id, str(path), seen)
        yield Query(id=query_id, text=_squeezed(title))


def _json_rows(path: Path) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        row = json_row(line, where)
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
        _new_id(fields["_id"], where, seen)
        yield fields


def _tsv_rows(path: Path, widths: tuple[int, ...]) -> Iterator[list[str]]:
    seen: set[str] = set()
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if len(fields) not in widths:
            raise DataError(
                f"{path}:{number}: expected {' or '.join(map(str, widths))} columns separated by "
                f"tabs, got {len(fields)}: {line[:60]!r}"
            )
        fields[0] = as_id(fields[0].strip(SPACE))
        _new_id(fields[0], f"{path}:{number}", seen)
        yield fields


def _blocks(path: Path, tag: str) -> Iterator[_Block]:
    """The elements ``tag``, which must open and close on lines of their own or be whole lines."""
    opening, closing = f"<{tag}>".lower(), f"</{tag}>".lower()
    started, lines = 0, list[str]()
    for number, line in numbered_lines(path):
        folded = line.lower()
        if not started and opening in folded:
            started, lines = number, []
        if started:
            lines.append(line)
            if closing in folded:
                yield _Block(started, "\n".join(lines))
                started = 0
    if started:
        raise DataError(f"{path}:{started}: <{tag}> is not closed: the file is cut short")


def _inside(text: str, tag: str) -> str:
    return _squeezed(_within(text, tag))


def _within(text: str, tag: str) -> str:
    opening = re.compile(rf"<{tag}\b[^<>]*>", re.IGNORECASE)
    closing = re.compile(rf"</{tag}>", re.IGNORECASE)
    parts, place = list[str](), 0
    while (start := opening.search(text, place)) and (end := closing.search(text, start.end())):
        parts.append(text[start.end() : end.start()])
        place = end.end()
    return " ".join(html.unescape(_TAG.sub(" ", part)) for part in parts)


def _new_id(text: str, where: str, seen: set[str]) -> None:
    if checked_id(text, where) in seen:
        raise DataError(f"{where}: duplicate id {text!r}: ids must be unique")
    seen.add(text)


def _squeezed(text: str) -> str:
    return " ".join(text.split())
