"""Peak memory and seconds by phase of a run."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil


class PeakMemory:
    """Samples the resident memory of the process tree in the background, while inside ``with``.

    The sum counts pages shared between processes once for each, so it bounds the true use from
    above. Processes on other machines are not seen.
    """

    def __init__(self, *, every_s: float = 1.0) -> None:
        self._every_s = every_s
        self._peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="peak-memory")

    @property
    def peak_mb(self) -> float:
        """Largest sum seen so far, in MiB."""
        self._peak_bytes = max(self._peak_bytes, tree_bytes())
        return self._peak_bytes / 2**20

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            self._peak_bytes = max(self._peak_bytes, tree_bytes())


def tree_bytes() -> int:
    """Resident bytes of this process and all its descendants, now."""
    me = psutil.Process()
    return sum(_resident(process) for process in [me, *me.children(recursive=True)])


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:  # ended since it was listed
        return 0


class Stopwatch:
    """Wall time by stage."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """What went on since the last lap was ``name``."""
        now = time.monotonic()
        self._laps[name] = round(now - self._last, 2)
        self._last = now

    def laps(self) -> dict[str, float]:
        """Seconds by stage, and ``total``."""
        return {**self._laps, "total": round(time.monotonic() - self._start, 2)}
