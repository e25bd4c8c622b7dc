"""Wall time by stage of a run."""

from __future__ import annotations

import time


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
