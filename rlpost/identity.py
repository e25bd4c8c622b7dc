"""What a run is made from, so that ``--resume`` goes on with that and nothing else.

Plain JSON, in the run directory and in every checkpoint: ``config`` (the keys that may not change),
``base`` and ``judge`` (digests of model files), ``data`` (digests of what is trained and measured
on).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rankers.errors import RankerError, RlpostError
from rankers.files.atomic import write_text
from rankers.files.digests import folder_digests
from rankers.first_stage.by_name import renamed
from rankers.model_path import resolve
from rlpost.config.run import RunConfig
from rlpost.config.task import RerankerReward
from rlpost.errors import OtherRunError

FILE = "identity.json"

MAY_CHANGE = (
    "steps",
    "checkpoint.every",
    "checkpoint.keep",
    "rollout.workers",
    "rollout.gpus_per_worker",
    "rollout.kv_cache_mb",
    "learner.gpus",
    "streaming.queue_mb",
    "streaming.lease_ttl_s",
    "streaming.max_attempts",
    "streaming.stall_s",
    "streaming.node_wait_s",
    "learner.uplift_every",
    "learner.diagnostics_every",
    "on_no_signal",
    "evaluation.measures",
    "evaluation.bootstrap_samples",
    "data.path",
    "model.path",
)
"""Keys that a resumed run may have with other values: how long, how safely, where and on what.
``data.path`` and ``model.path`` may name another place of the same content."""

ELSEWHERE = ("output",)
"""A resumed run stays where it is."""

Identity = Mapping[str, Any]


def identity_of(cfg: RunConfig) -> dict[str, Any]:
    """All but ``data``, which is known once the run is prepared."""
    found = {"config": kept_keys(cfg), "base": folder_digests(resolve(cfg.model.path))}
    reward = getattr(cfg.task, "reward", None)
    if isinstance(reward, RerankerReward) and reward.url is None and reward.model is not None:
        found["judge"] = _judge_digests(reward.model)
    return found


def kept_keys(cfg: RunConfig) -> dict[str, Any]:
    """The sections of ``cfg`` without what may change; of paths that digests stand for, the last
    part. ``steps`` stays where the learning rate runs over them."""
    values = cfg.model_dump(mode="json")
    for key in (*MAY_CHANGE, *ELSEWHERE):
        _forget(values, key)
    if cfg.learner.schedule != "constant":
        values["steps"] = cfg.steps
    values["data"]["first_stage"] = renamed(cfg.data.first_stage, _without_folder)
    reward = getattr(cfg.task, "reward", None)
    if isinstance(reward, RerankerReward) and reward.url is None and reward.model is not None:
        values["task"]["reward"]["model"] = Path(reward.model).name
    return values


def remember(run_dir: Path, identity: Identity) -> None:
    """Write it into the run directory."""
    write_text(run_dir / FILE, json.dumps(identity, indent=1))


def remembered(run_dir: Path) -> Identity | None:
    """What ``remember`` wrote; None where the run is older than that."""
    path = run_dir / FILE
    if not path.is_file():
        return None
    found: Identity = json.loads(path.read_text(encoding="utf-8"))
    return found


def require_same(then: Identity, now: Identity, *, where: Path) -> None:
    """Raises OtherRunError naming every difference; parts that only one side has are left out."""
    found = list(differences(then, now))
    if found:
        lines = [
            f"{str(where)!r} cannot go on, because this is not what it was started with:",
            *found,
            f"put back what it had, or start a new run (may change: {', '.join(MAY_CHANGE)})",
        ]
        raise OtherRunError("\n  ".join(lines))


def differences(then: Identity, now: Identity) -> Iterator[str]:
    """A sentence for each."""
    yield from _changed_keys(then.get("config", {}), now.get("config", {}), "")
    for part, name in (("base", "model.path"), ("judge", "task.reward.model"), ("data", "data")):
        if part in then and part in now:
            yield from _changed_digests(then[part], now[part], name)


def _changed_keys(then: Identity, now: Identity, prefix: str) -> Iterator[str]:
    for key in then:
        if key not in now:
            continue
        old, new = then[key], now[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} was {json.dumps(old)}, now it is {json.dumps(new)}"


def _changed_digests(then: Identity, now: Identity, name: str) -> Iterator[str]:
    for key in dict.fromkeys((*then, *now)):
        if key not in now:
            yield f"{name}: {key} is gone"
        elif key not in then:
            yield f"{name}: {key} was not there"
        elif then[key] != now[key]:
            yield f"{name}: {key} changed"


def _judge_digests(model: str) -> dict[str, str]:
    """Of the reranker that gives the reward; with its base, where it is an adapter."""
    from rlpost.serving.model_spec import located

    try:
        found = located(model, None, {}, None)
    except (RankerError, RlpostError):  # told when the reranker is made
        return {}
    folders = [Path(model)] if Path(model).is_dir() else []
    folders += [found.base] if isinstance(found.base, Path) else []
    return {f"{f.name}/{n}": d for f in folders for n, d in folder_digests(f).items()}


def _without_folder(part: str) -> str:
    kind, colon, value = part.partition(":")
    return f"{kind}:{Path(value).name}" if kind in ("run", "dense") else f"{kind}{colon}{value}"


def _forget(values: dict[str, Any], key: str) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        values = values[section]
    values.pop(leaf, None)
