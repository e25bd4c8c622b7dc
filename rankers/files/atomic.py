"""Atomic writing: files and folders that are whole or absent, and disk trouble in one sentence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankers.errors import UserError
from rankers.files.cache import cache_trouble
from rankers.files.modes import fresh_folder, fresh_name, open_alike


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
    """Replace ``path`` by ``text``; a reader sees the old file or the new one, whatever crashes.

    Raises UserError where the file cannot be written.
    """
    with disk_trouble(path):
        _replace(path, [text])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """``write_text`` of lines, which need not fit into memory; makes the folder."""
    with disk_trouble(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, (f"{line}\n" for line in lines))


def _replace(path: Path, parts: Iterable[str]) -> None:
    temporary = fresh_name(path)
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, renamed to ``target`` when the block ends well and removed otherwise.

    Readers see all of it or nothing. Where another process published first, its copy stays. Raises
    DataError where the cache cannot be written.
    """
    with cache_trouble(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = fresh_folder(target)
        try:
            yield partial
            open_alike(partial)
            try:
                partial.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


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
