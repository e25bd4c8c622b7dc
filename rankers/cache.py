"""The on-disk cache of what is derived from a collection: content keys and atomic publication."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankers.modes import fresh_folder, open_alike


def default_cache_dir() -> Path:
    """``$RLPOST_CACHE``, or ``~/.cache/rlpost``."""
    base = os.environ.get("RLPOST_CACHE")
    return Path(base) if base else Path.home() / ".cache" / "rlpost"


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


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A folder to fill, renamed to ``target`` when the block ends well and removed otherwise.

    Readers see all of it or nothing. Where another process published first, its copy stays.
    """
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
