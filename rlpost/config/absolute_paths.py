"""A config whose paths hold in every process and folder: absolute, a hub model pinned.

Actors run in other folders, and a run may be resumed from another one.
"""

from __future__ import annotations

import os
from pathlib import Path

from rankers.errors import DataError, UserError
from rankers.first_stage.by_name import parts_of, renamed
from rankers.model_path import HUB_ID, resolve
from rlpost.config.run import RunConfig
from rlpost.config.task import RerankerReward
from rlpost.models.loading import is_local

JOB_COPY = "runtime_resources/working_dir_files"
"""Where Ray unpacks the working directory of a job, to delete it afterwards."""


def located(cfg: RunConfig) -> RunConfig:
    """``cfg`` with absolute paths wherever it names something local.

    A hub id without a revision gets the one that is current: it is downloaded now. Raises UserError
    when there is no such model, and for an ``output`` inside a Ray job's copy of its folder.
    """
    output = Path(os.path.abspath(cfg.output.expanduser()))
    if JOB_COPY in output.as_posix():
        raise UserError(
            f"output {str(cfg.output)!r} lies in the job's copy of the working directory, which "
            "Ray deletes: set output to an absolute path that stays"
        )
    model = cfg.model.model_copy(update={"path": _model(cfg.model.path)})
    data = cfg.data.model_copy(
        update={
            "path": cfg.data.path if cfg.data.path == "pydoc" else absolute(cfg.data.path),
            "first_stage": _first_stage(cfg.data.first_stage),
        }
    )
    update: dict[str, object] = {"output": output, "model": model, "data": data}
    reward = getattr(cfg.task, "reward", None)
    if isinstance(reward, RerankerReward) and reward.url is None and reward.model is not None:
        judge = reward.model_copy(update={"model": absolute(reward.model)})
        update["task"] = cfg.task.model_copy(update={"reward": judge})
    return cfg.model_copy(update=update)


def absolute(name: str) -> str:
    """The absolute path of what exists here under ``name``; else ``name``, which is no path."""
    path = Path(name).expanduser()
    return os.path.abspath(path) if path.exists() else name


def _model(path: str) -> str:
    folder = Path(path).expanduser()
    if (folder / "config.json").is_file():
        return os.path.abspath(folder)
    if is_local(path) or not HUB_ID.fullmatch(path) or "@" in path:
        return path
    snapshot = resolve(path)
    return f"{path}@{snapshot.name}" if snapshot.parent.name == "snapshots" else path


def _first_stage(name: str) -> str:
    def rename(part: str) -> str:
        kind, _, value = part.partition(":")
        return f"{kind}:{absolute(value)}" if kind in ("run", "dense") else part

    renaming = renamed(name, rename)
    try:
        whole = [rename(part) for part in parts_of(name)] == parts_of(renaming)
    except DataError:
        whole = False
    # A folder with a comma or a bracket in its name cannot stand inside a fusion.
    return renaming if whole else name
