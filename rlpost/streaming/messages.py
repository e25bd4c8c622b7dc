"""What travels through the group queue: parcels in, leases out.

A group is packed once where it was made and opened once where it is trained on.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Literal

from rlpost.types import Group, GroupKey

PutAnswer = Literal["ok", "duplicate", "full", "stale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedGroup:
    """One group, with what a queue must know about it written on the outside."""

    key: GroupKey
    index: int
    """Position in the run's stream (``Ticket.index``); unique in a run, shared by all attempts."""
    version: int
    """Oldest policy version of any token inside."""
    num_rows: int
    """Siblings."""
    num_tokens: int
    payload: bytes
    """Never opened on the way, so a hop costs a copy and its size is exact."""

    @property
    def num_bytes(self) -> int:
        return len(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Groups lent to one consumer until ``expires`` (on the buffer's clock)."""

    id: int
    parcels: tuple[QueuedGroup, ...]
    """Ascending by stream position."""
    expires: float
    waited_s: float
    """Mean time that these groups spent waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A group that left the buffer untrained."""

    key: GroupKey
    index: int
    num_tokens: int


def serialize(group: Group) -> QueuedGroup:
    return QueuedGroup(
        key=group.key,
        index=group.ticket.index,
        version=group.version,
        num_rows=len(group.rollouts),
        num_tokens=group.num_tokens,
        payload=pickle.dumps(group, protocol=5),
    )


def deserialize(parcel: QueuedGroup) -> Group:
    """The group inside. Only for parcels made by this run's own processes: it unpickles."""
    group: Group = pickle.loads(parcel.payload)
    return group


@dataclass(slots=True, kw_only=True)
class Counts:
    """Since the start. Dropping is length-biased: compare tokens per stale and trained group."""

    accepted: int = 0
    duplicates: int = 0
    stale: int = 0
    redelivered: int = 0
    trained: int = 0
    tokens_trained: int = 0
    tokens_stale: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferStats:
    """What is inside at this moment (groups, rows, bytes), and the counts so far."""

    waiting: int
    leased: int
    rows: int
    bytes: int
    quarantined: int
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSnapshot:
    """All that a new buffer needs to go on; groups out on lease count as waiting."""

    version: int
    waiting: tuple[QueuedGroup, ...]
    settled_below: int
    settled_beyond: tuple[int, ...]
    next_attempts: dict[int, int]
    deliveries: dict[int, int]
    dropped: dict[int, Dropped]
    quarantined: dict[int, Dropped]
