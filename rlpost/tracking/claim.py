"""Taking the folder of a new run: the first name that nobody has, ours from then on."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

from rankers.errors import UserError
from rankers.files.atomic import disk_trouble

LOCK = ".lock"
MIN_FREE_MB = 200


class Claim:
    """A folder that holds nothing but the lock of this process."""

    def __init__(self, path: Path, lock: IO[str], made: list[Path]) -> None:
        self.path = path
        self.lock = lock
        self._made = made

    def abandon(self) -> None:
        """Give the folder up; it disappears, with the parents made for it, if it is still empty."""
        if self.lock.closed:
            return
        if not _has_content(self.path):
            (self.path / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # a parent that others use by now
                for folder in self._made:
                    folder.rmdir()
        self.lock.close()


def claimed(path: Path) -> Claim:
    """``path``, or the first of ``path-2``, ``path-3``, ... that no other run has taken.

    Raises UserError where it cannot be written or the disk is full.
    """
    number, claim = 1, claim_of(path)
    while claim is None:
        number += 1
        claim = claim_of(path.with_name(f"{path.name}-{number}"))
    return claim


def claim_of(path: Path) -> Claim | None:
    """The folder ``path``; None where it has content or another process holds its lock."""
    with disk_trouble(path):
        claim = _claim(path)
        if claim is not None and (free_mb := shutil.disk_usage(path).free >> 20) < MIN_FREE_MB:
            claim.abandon()
            raise UserError(
                f"only {free_mb} MB are free at {str(path)!r}, a run needs {MIN_FREE_MB}: "
                "free space there, or choose another output=..."
            )
    return claim


def locked(path: Path) -> IO[str] | None:
    """The lock of a run's folder, which the operating system releases when this process ends,
    however it ends; None while another process holds it."""
    lock = (path / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _claim(path: Path) -> Claim | None:
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    while True:
        path.mkdir(parents=True, exist_ok=True)
        if _has_content(path):
            return None
        try:
            lock = locked(path)
        except FileNotFoundError:  # abandoned just now
            continue
        if lock is None:
            return None
        if _is_current(path, lock) and not _has_content(path):
            return Claim(path, lock, made)
        lock.close()


def _has_content(path: Path) -> bool:
    return any(entry.name != LOCK for entry in path.iterdir())


def _is_current(path: Path, lock: IO[str]) -> bool:
    """Whether the file that we locked is still there: an abandoned one is unlinked."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (path / LOCK).stat())
    except FileNotFoundError:
        return False
