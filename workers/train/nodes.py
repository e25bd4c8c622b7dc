"""Whether the cluster still has a machine on which a lost actor could be started again."""

from __future__ import annotations

import time
from typing import Any

import ray

from rlpost.errors import TrainingError
from workers.train.calls import ActorLostError

LOOK_S = 1.0
"""Between two looks: each asks Ray's head."""
PAUSE_S = 5.0
"""Longer without a look, and the time without a machine is counted anew."""


class Nodes:
    """Looks only while something is lost; ``wait_s`` is how long there may be no machine."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._looked = self._seen = time.monotonic()

    def watch(self) -> None:
        """Raises TrainingError once no machine has been there for ``wait_s``."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        if now - self._looked > PAUSE_S or _alive():
            self._seen = now
        self._looked = now
        if now - self._seen >= self._wait_s:
            raise TrainingError(
                f"the Ray cluster has had no machine for {now - self._seen:.0f} s on which a lost "
                "worker could be started again (streaming.node_wait_s); the run can go on from "
                "its last checkpoint with --resume"
            )

    def await_answer(self, ref: Any, *, limit_s: float, doing: str) -> None:
        """Watch until ``ref`` is there, or its error. Raises ActorLostError after ``limit_s``."""
        give_up = time.monotonic() + limit_s
        while not ray.wait([ref], timeout=LOOK_S)[0]:
            self.watch()
            if time.monotonic() > give_up:
                raise ActorLostError(f"no answer in {limit_s:g} s to: {doing}")


def _alive() -> bool:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["Alive"] for node in nodes)
