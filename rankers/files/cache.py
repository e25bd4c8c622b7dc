"""The on-disk cache of what is derived from a collection: content keys and atomic publication."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankers.errors import DataError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_SAID = ("No space left on device", "Read-only file system", "Disk quota exceeded")


def default_cache_dir() -> Path:
    """``$RLPOST_CACHE``, or ``~/.cache/rlpost``. DataError where there is no home."""
    base = os.environ.get("RLPOST_CACHE")
    if base:
        return Path(base)
    try:
        return Path.home() / ".cache" / "rlpost"
    except RuntimeError:
        raise DataError(
            "there is no home folder to keep a cache in: set RLPOST_CACHE to a folder"
        ) from None


@contextmanager
def cache_trouble(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with files of the cache ``folder`` into a DataError with the remedy.

    That is an error about a path in it, and one without a path where the disk is full or read-only,
    in the words of whoever met it. Other errors pass.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if not _about(error, folder):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"cannot write the cache {str(folder)!r} ({' '.join(reason.split())[-120:]}): set "
            "RLPOST_CACHE to a folder that can be written and has room"
        ) from error


def _about(error: Exception, folder: Path) -> bool:
    if any(said in str(error) for said in _SAID):
        return not isinstance(error, OSError) or _inside(error.filename, folder)
    if not isinstance(error, OSError):
        return False
    if error.filename is None:  # numpy says how much it wrote, and no more
        return error.errno is None or error.errno in _NO_ROOM
    return _inside(error.filename, folder)


def _inside(name: object, folder: Path) -> bool:
    """Whether a path is in the folder or on the way to it; no path at all may be."""
    if not isinstance(name, str):
        return name is None
    path, folder = Path(name).absolute(), folder.absolute()
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def content_key(parts: Iterable[object]) -> str:
    """A name for JSON-like ``parts`` in their order; equal content gives an equal name."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(json.dumps(part).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def file_key(path: Path) -> str:
    """A name for the content of a file, or of all files below a folder with their names."""
    digest = hashlib.blake2b(digest_size=12)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path)}\n{file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
