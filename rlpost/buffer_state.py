"""What a group buffer holds, as plain data: counts, figures for a log, a snapshot to go on from."""

from __future__ import annotations

from dataclasses import dataclass

from rlpost.parcel import Dropped, Parcel


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
class Snapshot:
    """All that a new buffer needs to go on; groups out on lease count as waiting."""

    version: int
    waiting: tuple[Parcel, ...]
    settled_below: int
    settled_beyond: tuple[int, ...]
    next_attempts: dict[int, int]
    deliveries: dict[int, int]
    dropped: dict[int, Dropped]
    quarantined: dict[int, Dropped]
