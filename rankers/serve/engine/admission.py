"""Who may wait for the engine, and in which order they are let in."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rankers.serve.engine import messages
from rankers.serve.engine.service import QueueFullError
from rankers.serve.settings import Limits

CHARS_PER_TOKEN = 4
LONGEST_RETRY_S = 60


@dataclass(slots=True, kw_only=True, eq=False)
class PendingRequest:
    """Somebody who waits for a result."""

    message: messages.RankMessage | messages.EmbedMessage
    model: str
    priority: int
    tokens: int
    result: asyncio.Future[messages.Result] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    running: bool = False
    """Whether the engine has it."""


@dataclass(kw_only=True)
class Admission:
    """Everybody there is. ``most_running`` of each model are with the engine, the others wait.

    So a model whose queries are slow does not hold up those of the others.
    """

    limits: Limits
    most_running: int
    entries: dict[int, PendingRequest] = field(default_factory=dict)
    """By number."""
    tokens: int = 0
    """Of all entries together."""
    _waiting: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _running: Counter[str] = field(default_factory=Counter)
    _ended_at: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    @property
    def running_jobs(self) -> int:
        """Entries that the engine has."""
        return self._running.total()

    @property
    def queued(self) -> tuple[int, int]:
        """Entries that wait, and their tokens."""
        waiting = [entry.tokens for entry in self.entries.values() if not entry.running]
        return len(waiting), sum(waiting)

    def admit(self, entry: PendingRequest) -> None:
        """Raises QueueFullError. Whoever comes first is let in, whatever its size."""
        jobs = len(self.entries)
        if jobs >= self.limits.queue_jobs:
            raise QueueFullError(f"{jobs} queries are waiting", self._retry_after())
        if jobs and self.tokens + entry.tokens > self.limits.queue_tokens:
            raise QueueFullError(
                f"queries of {self.tokens:,} tokens are waiting, {self.limits.queue_tokens:,} "
                f"allowed, and this one has {entry.tokens:,}",
                self._retry_after(),
            )
        number = entry.message.number
        self.entries[number] = entry
        self.tokens += entry.tokens
        waiting = self._waiting.setdefault(entry.model, [])
        heapq.heappush(waiting, (-entry.priority, number))

    def let_in(self) -> list[PendingRequest]:
        """Those whose turn it is, now with the engine."""
        chosen = []
        for model, waiting in self._waiting.items():
            while waiting and self._running[model] < self.most_running:
                _, number = heapq.heappop(waiting)
                if number in self.entries:
                    entry = self.entries[number]
                    entry.running = True
                    self._running[model] += 1
                    chosen.append(entry)
        return chosen

    def leave(self, number: int) -> PendingRequest | None:
        """Done or withdrawn; None where it has left before."""
        entry = self.entries.pop(number, None)
        if entry is not None:
            self.tokens -= entry.tokens
            if entry.running:
                self._running[entry.model] -= 1
                self._ended_at.append(time.monotonic())
        return entry

    def _retry_after(self) -> int:
        """Seconds until half of those there are will be done, at the pace of the last ones."""
        if len(self._ended_at) < 2:
            return 1
        pace = (time.monotonic() - self._ended_at[0]) / len(self._ended_at)
        return max(1, min(LONGEST_RETRY_S, math.ceil(pace * len(self.entries) / 2)))


def estimated_tokens(texts: Iterable[str]) -> int:
    """Of texts together."""
    return sum(map(len, texts)) // CHARS_PER_TOKEN
