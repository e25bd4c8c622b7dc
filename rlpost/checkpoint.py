"""Checkpoints: a folder per step that is either complete and verified, or does not count.

checkpoints/step-000010/  what the writer wrote (adapter, optimizer, ...)
                          state.json       the caller's state
                          checkpoint.json  step, and size and sha256 of every file; written last
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankers.errors import boundary
from rankers.files.atomic import rename_folder
from rlpost.errors import CheckpointError

FOLDER = "checkpoints"
STATE = "state.json"
MANIFEST = "checkpoint.json"
_NAME = re.compile(r"step-\d{6,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint whose files were found to be what was written."""

    path: Path
    step: int
    state: Mapping[str, Any]


def save_checkpoint(
    run_dir: Path,
    step: int,
    write: Callable[[Path], None],
    state: Mapping[str, object],
    *,
    keep: int = 2,
) -> Path:
    """Have ``write`` fill an empty folder, add ``state`` (plain JSON), publish it in ``run_dir``.

    A crash or an error at any moment leaves every earlier checkpoint as it was. A complete
    checkpoint of the same step is never overwritten: it is returned. Afterwards the newest ``keep``
    complete ones remain. Raises CheckpointError when writing fails (disk full, for one).
    """
    folder = run_dir / FOLDER
    target = folder / f"step-{step:06d}"
    if target.is_dir() and _is_sound(target):
        return target
    temporary = folder / f".writing-{target.name}"
    with boundary(CheckpointError, f"writing checkpoint {str(target)!r}"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            write(temporary)
            _seal(temporary, step, state)
            shutil.rmtree(target, ignore_errors=True)
            rename_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _prune(folder, keep)
    return target


def latest_checkpoint(run_dir: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None. Incomplete and damaged ones are passed over."""
    for path in _newest_first(run_dir / FOLDER):
        try:
            return load_checkpoint(path)
        except CheckpointError:
            continue
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in ``path``. CheckpointError names the first file missing or changed."""
    manifest = _manifest(path)
    for name, wrote in manifest["files"].items():
        if not (path / name).is_file():
            raise CheckpointError(f"checkpoint {str(path)!r} lacks {name}")
        if _fingerprint(path / name) != wrote:
            raise CheckpointError(f"checkpoint {str(path)!r}: {name} is not what was written")
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    return Checkpoint(path=path, step=manifest["step"], state=state)


def drop_after(run_dir: Path, step: int) -> None:
    """Remove checkpoints beyond ``step``, which a resumed run cannot use and will write anew."""
    for path in _newest_first(run_dir / FOLDER):
        if _step_of(path) > step:
            shutil.rmtree(path)


def _seal(folder: Path, step: int, state: Mapping[str, object]) -> None:
    taken = [name for name in (STATE, MANIFEST) if (folder / name).exists()]
    if taken:
        raise CheckpointError(f"the writer of a checkpoint made {taken[0]}, which is reserved")
    (folder / STATE).write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "step": step,
        "files": {path.relative_to(folder).as_posix(): _fingerprint(path) for path in files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {str(path)!r} is incomplete: {error}") from None
    return manifest


def _is_sound(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except CheckpointError:
        return False
    return True


def _prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep``, counting only those with every file at full size."""
    kept = 0
    for path in _newest_first(folder):
        if kept >= keep:
            shutil.rmtree(path)
        elif _has_all_bytes(path):
            kept += 1


def _has_all_bytes(path: Path) -> bool:
    """A check that reads no file contents, which may be many gigabytes."""
    try:
        files = _manifest(path)["files"]
        return all((path / name).stat().st_size == wrote["bytes"] for name, wrote in files.items())
    except (CheckpointError, FileNotFoundError):
        return False


def _newest_first(folder: Path) -> list[Path]:
    """Folders named as a checkpoint is; ``step-000010-good``, a copy by hand, is not one."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _fingerprint(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}
