"""Atomic writing: files and folders that are whole or absent, and disk trouble in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankers.errors import DataError, UserError
from rankers.files.cache import _published, cache_trouble
from rankers.files.modes import open_alike
from rankers.files.text import _write_lines


@contextmanager
def disk_trouble(path: Path) -> Iterator[None]:
    """Turn an OSError (disk full, no permission, read-only) into a UserError naming ``path``."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {str(path)!r} ({error.strerror or error}): "
            "free space there, or choose another folder"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``; a reader sees the old file or the new one, whatever crashes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_trouble(path):
        try:
            temporary.write_text(text, encoding="utf-8")
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Force every file and folder under ``folder``, and itself, to disk."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def rename_folder(source: Path, target: Path) -> None:
    """Move a complete folder to a new name; after the return it survives a power cut.

    Its files are as readable as itself: safetensors writes private ones.
    """
    open_alike(source)
    sync_tree(source)
    source.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write all lines or nothing: a temporary file in the same folder, then a rename.

    Raises DataError where the file cannot be written.
    """
    try:
        _write_lines(path, lines)
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error.strerror or error}): free space there, or choose another "
            "place"
        ) from error


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, renamed to ``target`` when the block ends well and removed otherwise.

    Readers see all of it or nothing. Where another process published first, its copy stays. Raises
    DataError where the cache cannot be written.
    """
    with cache_trouble(target.parent), _published(target) as partial:
        yield partial
