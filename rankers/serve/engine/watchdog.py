"""How long an engine that has work has said nothing: one that hangs cannot say so itself."""

from __future__ import annotations

import asyncio
import time


class Watchdog:
    """Told what goes to and comes from the engine, which answers all there is to answer."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._since: float | None = None
        """None where the engine has nothing to say."""

    def asked(self) -> None:
        """Something went to the engine."""
        if self._since is None:
            self._since = time.monotonic()

    def broken(self, *, more: bool) -> None:
        """Something came from it, or its end; ``more``: whether it has more to do."""
        self._since = time.monotonic() if more else None

    async def too_long(self) -> None:
        """Return when it has lasted ``most_s``."""
        while self._since is None or time.monotonic() - self._since < self._most_s:
            await asyncio.sleep(min(1.0, self._most_s / 10))
        self._since = None
