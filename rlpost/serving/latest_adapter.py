"""The newest policy that a run has published."""

from __future__ import annotations

from pathlib import Path

from rankers.errors import UserError
from rankers.prompting.model_families import ADAPTER_CONFIG
from rlpost.checkpoint import latest_checkpoint
from rlpost.errors import EngineError
from rlpost.tracking.run_dir import CONFIG
from rlpost.types import PolicyRef
from rlpost.weights.adapter_files import verify
from rlpost.weights.publish import ADAPTER, published_policies

POLICIES = "policies"


def adapter_in(folder: Path) -> Path:
    """``folder`` if it is a PEFT adapter, else the newest of the run in it.

    Raises UserError where it is neither, may not be read, or the run has none yet.
    """
    try:
        return _adapter_in(folder)
    except PermissionError as error:
        raise UserError(
            f"{error.filename} may not be read by this user: let it (chmod -R a+rX {folder}), or "
            "serve as the user who trained"
        ) from None


def _adapter_in(folder: Path) -> Path:
    if (folder / ADAPTER_CONFIG).is_file():
        return folder
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} is neither a PEFT adapter (it has no {ADAPTER_CONFIG}) nor a run directory "
            f"(it has no {CONFIG}): give one of them"
        )
    newest = newest_adapter(folder)
    if newest is None:
        raise UserError(
            f"{folder} has no adapter yet: wait for the run's first checkpoint, or give another"
        )
    return newest


def newest_adapter(run_dir: Path) -> Path | None:
    """The last adapter that the run published, or else that of its last checkpoint, if whole."""
    for version, path in sorted(published_policies(run_dir / POLICIES), reverse=True):
        try:
            verify(PolicyRef(version=version, path=path))
        except EngineError:  # damaged, or just being removed
            continue
        return path
    checkpoint = latest_checkpoint(run_dir)
    return checkpoint.path / ADAPTER if checkpoint else None
