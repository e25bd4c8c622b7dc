"""The built-in collection `pydoc`: docstrings of the running Python, read from source files.

A query is the summary of a docstring, the relevant document is the rest of it (known-item
relevance). Nothing is imported or executed: sources are parsed with `ast`. Every top-level module
or package belongs to one split, so no document crosses splits; texts are deduplicated over all.
"""

import ast
import hashlib
import inspect
import json
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rankers.files.cache import cache_trouble, default_cache_dir
from rankers.files.modes import fresh_name

Split = Literal["train", "dev", "test"]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
MAX_PER_MODULE = 150  # so that the largest installed package does not drown the rest
MAX_PER_SPLIT: dict[Split, int] = {"train": 6000, "dev": 1000, "test": 2000}
MAX_FILES_PER_MODULE = 400
SUMMARY_WORDS = range(3, 21)
MIN_BODY_WORDS = 8
MAX_BODY_CHARS = 1200
FORMAT_VERSION = 1  # part of the cache key: raise it when the extraction changes

_SKIPPED_DIRS = frozenset(
    {"test", "tests", "testing", "_vendor", "vendor", "lib2to3", "__pycache__"}
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`:*])")
_RULE = re.compile(r"[-=~^*_#`]{3,}")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocEntry:
    """One docstring, split into a query and a document."""

    id: str  # "module:qualname"
    title: str  # qualname
    summary: str
    body: str


def split_of(module: str) -> Split:
    """The split a top-level module belongs to: about 70% train, 10% dev, 20% test."""
    bucket = hashlib.blake2b(module.encode(), digest_size=4).digest()[0] % 10
    return "train" if bucket < 7 else "dev" if bucket < 8 else "test"


def split_docstring(docstring: str) -> tuple[str, str] | None:
    """The first sentence of a docstring and all the rest of it, or None where either is unfit.

    Sizes are in words: a summary has 3 to 20, a body at least 8.
    """
    first, _, rest = inspect.cleandoc(docstring).partition("\n\n")
    sentence, *more = _SENTENCE_END.split(_squeeze(first), maxsplit=1)
    body = _squeeze(" ".join([*more, _RULE.sub(" ", rest)]))[:MAX_BODY_CHARS]
    summary = sentence.rstrip(" .:")
    if len(summary.split()) not in SUMMARY_WORDS or len(_words(body)) < MIN_BODY_WORDS:
        return None
    if len(_words(summary)) * 3 < len(summary.split()) * 2:  # mostly symbols, not a sentence
        return None
    return summary, body


def load_entries(split: Split, *, cache_dir: Path | None = None) -> list[DocEntry]:
    """The entries of one split, in a stable order; extracted on first use, then read from disk.

    Raises ValueError on an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"pydoc has no split {split!r}: use one of {', '.join(SPLITS)}")
    folder = (cache_dir or default_cache_dir()) / "pydoc" / _cache_key()
    path = folder / f"{split}.jsonl"
    with cache_trouble(folder):
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for name, entries in _extract().items():
                _write(folder / f"{name}.jsonl", entries)
        with path.open(encoding="utf-8") as lines:
            return [DocEntry(**json.loads(line)) for line in lines]


def _extract() -> dict[Split, list[DocEntry]]:
    """All entries of the machine by split: capped, without duplicate summaries or bodies."""
    seen: set[str] = set()
    found: dict[Split, list[DocEntry]] = {split: [] for split in SPLITS}
    for module, files in _top_level_modules():
        kept = 0
        for entry in _entries_of(module, files):
            keys = {"s " + entry.summary.lower(), "b " + entry.body.lower()}
            if seen & keys:
                continue
            seen |= keys
            found[split_of(module)].append(entry)
            kept += 1
            if kept == MAX_PER_MODULE:
                break
    return {split: _capped(entries, MAX_PER_SPLIT[split]) for split, entries in found.items()}


def _capped(entries: list[DocEntry], limit: int) -> list[DocEntry]:
    """A stable pseudo-random choice of `limit` entries, in a stable pseudo-random order."""
    return sorted(entries, key=lambda entry: _digest(entry.id))[:limit]


def _top_level_modules() -> Iterator[tuple[str, list[Path]]]:
    """Top-level modules and packages by name, the standard library first, with source files."""
    paths = sysconfig.get_paths()
    roots = list(dict.fromkeys([Path(paths["stdlib"]), Path(paths["purelib"])]))
    taken: set[str] = set()
    for root in roots:
        for child in sorted(root.iterdir()):
            name = child.stem
            if not name.isidentifier() or name in taken or name in _SKIPPED_DIRS:
                continue
            if child.is_dir():
                files = _package_files(child)
            elif child.suffix == ".py":
                files = [child]
            else:
                continue
            taken.add(name)
            yield name, files


def _package_files(package: Path) -> list[Path]:
    """Source files of a package without its tests, in a stable order that mixes subpackages."""
    files = [
        path
        for path in package.rglob("*.py")
        if not _SKIPPED_DIRS.intersection(path.relative_to(package).parts)
        and not path.name.startswith("test_")
    ]
    files.sort(key=lambda path: _digest(path.relative_to(package).as_posix()))
    return files[:MAX_FILES_PER_MODULE]


def _entries_of(module: str, files: list[Path]) -> Iterator[DocEntry]:
    for path in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in other people's strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError):
            continue  # a template or a file for another Python: not documentation of this one
        parts = path.with_suffix("").parts
        start = len(parts) - 1 - parts[::-1].index(module)
        dotted = ".".join(part for part in parts[start:] if part != "__init__")
        for qualname, docstring in _docstrings(tree, ""):
            pair = split_docstring(docstring)
            if pair is not None:
                yield DocEntry(
                    id=f"{dotted}:{qualname}", title=qualname, summary=pair[0], body=pair[1]
                )


def _docstrings(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    """Qualified name and docstring of every public function and class under `node`."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if child.name.startswith("_"):
            continue
        docstring = ast.get_docstring(child, clean=False)
        if docstring is not None and docstring.isascii():
            yield prefix + child.name, docstring
        if isinstance(child, ast.ClassDef):
            yield from _docstrings(child, prefix + child.name + ".")


def _cache_key() -> str:
    """A name that changes with the Python and with any installed distribution."""
    installed = sorted(f"{d.name}=={d.version}" for d in metadata.distributions())
    text = "\n".join([sys.version, sys.prefix, str(FORMAT_VERSION), *installed])
    return _digest(text)[:16]


def _write(path: Path, entries: list[DocEntry]) -> None:
    partial = fresh_name(path)
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(entry)) + "\n" for entry in entries)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _squeeze(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _words(text: str) -> list[str]:
    return [word for word in text.split() if word.strip(".,;:()'\"`*").isalpha()]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
