"""Folders and files that others may read as far as the umask of whoever writes them allows.

``tempfile`` and safetensors make private ones (0700, 0600), which a server under another user
could not load.
"""

from __future__ import annotations

import uuid
from pathlib import Path


def fresh_folder(target: Path) -> Path:
    """A new, empty folder beside ``target`` to fill and rename to it."""
    folder = fresh_name(target)
    folder.mkdir()
    return folder


def fresh_name(target: Path) -> Path:
    """A hidden name beside ``target`` that nobody else has."""
    return target.with_name(f".{target.name}-{uuid.uuid4().hex[:12]}")


def open_alike(folder: Path) -> None:
    """Give every file under ``folder`` the mode of a file that was simply opened for writing.

    It is told from the folder's own, which ``mkdir`` made: the umask itself cannot be read without
    changing it for all threads.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(folder.stat().st_mode & 0o666)
