"""The glossary of events and their log: what happened to a run besides its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rankers.files import jsonl

EVENTS: dict[str, str] = {
    "run_started": "the first step is about to be sampled",
    "run_resumed": "training continues from a checkpoint",
    "run_interrupted": "stopped by the user; the checkpoint is resumable",
    "run_failed": "stopped by an error",
    "run_finished": "the last step was trained and measured",
    "phase": "a stage other than training began, such as loading or evaluating",
    "checkpoint_saved": "the trained frontier is on disk",
    "policy_published": "adapter weights of a version were written and loaded by every engine",
    "canary_passed": "engine and learner agree on a fixed prompt after a publish",
    "canary_failed": "engine and learner disagree on a fixed prompt after a publish",
    "learner_not_packed": "packed rows would change the model: the learner runs other ones",
    "worker_started": "a worker is ready",
    "worker_died": "a worker was lost; its tickets were issued again",
    "lease_redelivered": "a leased group was not acknowledged in time and was handed out again",
    "group_filtered": "all completions of a prompt had the same reward; another prompt was tried",
    "group_dropped": "a group was too old to train on; its prompt was queued again",
    "prompt_quarantined": "a prompt failed too often and was set aside",
    "reward_failed": "a scorer raised; the group was not trained on",
    "no_signal": "no group has taught anything so far",
    "stalled": "nothing moved for streaming.stall_s",
}
"""Kind -> meaning. Logging an unlisted kind is a KeyError."""

Emit = Callable[..., None]
"""``emit(kind, **fields)``; fields are plain JSON."""


class EventLog:
    """Appends to ``events.jsonl``: objects with ``time`` (Unix seconds), ``kind`` and fields."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def __call__(self, kind: str, **fields: object) -> None:
        if kind not in EVENTS:
            raise KeyError(f"event {kind!r} is not in rlpost.tracking.events.EVENTS")
        jsonl.append(self._path, {"time": self._clock(), "kind": kind, **fields})
