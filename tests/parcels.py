"""Small parcels and a buffer on a clock that the test moves."""

from __future__ import annotations

from rlpost.streaming.group_queue import GroupBuffer
from rlpost.streaming.messages import Lease, QueuedGroup
from rlpost.types import GroupKey

ROWS, SIZE = 4, 10


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def parcel(index: int, *, version: int = 0, attempt: int = 0, size: int = SIZE) -> QueuedGroup:
    return QueuedGroup(
        key=GroupKey("run", 0, f"q{index}", attempt),
        index=index,
        version=version,
        num_rows=ROWS,
        num_tokens=100 + index,
        payload=b"x" * size,
    )


def buffer(
    *, groups: int = 4, max_lag: int = 1, max_attempts: int = 2, clock: Clock | None = None
) -> GroupBuffer:
    return GroupBuffer(
        run_id="run",
        max_rows=groups * ROWS,
        max_bytes=groups * SIZE,
        max_lag=max_lag,
        max_attempts=max_attempts,
        clock=clock or Clock(),
    )


def indices(lent: Lease) -> list[int]:
    return [p.index for p in lent.parcels]
