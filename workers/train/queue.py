"""The group queue as a Ray actor: waiting, and a client with deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from rlpost.errors import QueueError
from rlpost.streaming.group_queue import GroupBuffer
from rlpost.streaming.messages import (
    BufferStats,
    Dropped,
    Lease,
    PutAnswer,
    QueuedGroup,
    QueueSnapshot,
)

GRACE_S = 30.0
"""What a call may take beyond the time it was told to wait."""
LEASE_WAIT_S = 5.0
"""Longest wait for enough groups; the learner asks when the driver has counted them."""
POLL_S = 1.0
"""How often a waiting lease looks for leases that have expired."""


class QueueDiedError(QueueError):
    """The queue's process is gone, with all groups in it; they can be rolled out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    lease: Lease | None
    dropped: tuple[Dropped, ...]
    quarantined: tuple[Dropped, ...]
    stats: BufferStats


class QueueActor:
    """Runs in an asyncio loop: many callers may wait at once, each step of the buffer is atomic."""

    def __init__(self, buffer: GroupBuffer, snapshot: QueueSnapshot | None) -> None:
        self._buffer = buffer
        if snapshot is not None:
            buffer.restore(snapshot)
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    async def put(self, parcel: QueuedGroup, wait_s: float) -> PutAnswer:
        """As ``GroupBuffer.put``, waiting up to ``wait_s`` for room; first come, first served."""
        try:
            async with asyncio.timeout(wait_s), self._turn:
                while (answer := self._buffer.put(parcel)) == "full":
                    await self._changed.wait()
        except TimeoutError:
            return "full"
        if answer == "ok":
            self._wake()
        return answer

    async def lease(
        self, num_groups: int, *, version: int, ttl: float, wait_s: float
    ) -> LeaseAnswer:
        """As ``GroupBuffer.lease``, waiting up to ``wait_s`` for enough groups."""
        give_up = time.monotonic() + wait_s
        while (lease := self._buffer.lease(num_groups, version=version, ttl=ttl)) is None:
            self._wake()
            left = give_up - time.monotonic()
            if left <= 0 or self._buffer.dropped:
                break
            await self._wait(min(left, POLL_S))
        return LeaseAnswer(
            lease=lease,
            dropped=self._buffer.dropped,
            quarantined=self._buffer.quarantined,
            stats=self._buffer.stats(),
        )

    async def ack(self, lease_id: int) -> None:
        self._buffer.ack(lease_id)
        self._wake()

    async def mark_trained(self, indices: Sequence[int]) -> None:
        self._buffer.mark_trained(indices)
        self._wake()

    async def discard(self, indices: Sequence[int]) -> list[int]:
        return self._buffer.discard(indices)

    async def release(self, lease_id: int) -> None:
        self._buffer.release(lease_id)
        self._wake()

    async def stats(self) -> BufferStats:
        return self._buffer.stats()

    async def snapshot(self) -> QueueSnapshot:
        return self._buffer.snapshot()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueClient:
    """What travels to the processes that use the queue. No call waits without end.

    Every method raises QueueDiedError when the queue's process is gone, and QueueError when an
    answer is overdue or the queue objects.
    """

    actor: Any
    wait_s: float
    """Longest wait for room."""

    def put(self, parcels: Sequence[QueuedGroup]) -> list[PutAnswer]:
        """Put several groups at once; answers in order, none of them ``full``."""
        refs = [self.actor.put.remote(parcel, self.wait_s) for parcel in parcels]
        answers: list[PutAnswer] = self._get(refs, "put")
        if "full" in answers:
            raise QueueError(f"no room in the queue for {self.wait_s:g} s: is the learner alive?")
        return answers

    def lease(self, num_groups: int, *, version: int, ttl: float) -> LeaseAnswer:
        ref = self.actor.lease.remote(num_groups, version=version, ttl=ttl, wait_s=LEASE_WAIT_S)
        answer: LeaseAnswer = self._get(ref, "lease")
        return answer

    def ack(self, lease_id: int) -> None:
        self._get(self.actor.ack.remote(lease_id), "ack")

    def mark_trained(self, indices: Sequence[int]) -> None:
        self._get(self.actor.mark_trained.remote(indices), "settle")

    def discard(self, indices: Sequence[int]) -> list[int]:
        held: list[int] = self._get(self.actor.discard.remote(indices), "discard")
        return held

    def release(self, lease_id: int) -> None:
        self._get(self.actor.release.remote(lease_id), "release")

    def stats(self) -> BufferStats:
        stats: BufferStats = self._get(self.actor.stats.remote(), "stats")
        return stats

    def snapshot(self) -> QueueSnapshot:
        snapshot: QueueSnapshot = self._get(self.actor.snapshot.remote(), "snapshot")
        return snapshot

    def _get(self, refs: Any, doing: str) -> Any:
        deadline = self.wait_s + GRACE_S
        try:
            return ray.get(refs, timeout=deadline)
        except GetTimeoutError:
            raise QueueError(f"{doing}: no answer from the queue in {deadline:g} s") from None
        except RayActorError as error:
            raise QueueDiedError(f"{doing}: the queue's process died: {error}") from None


def start_queue(
    buffer: GroupBuffer, *, wait_s: float, snapshot: QueueSnapshot | None
) -> QueueClient:
    """A queue in a process of its own, which lives as long as the calling process."""
    actor = ray.remote(QueueActor).options(num_cpus=0).remote(buffer, snapshot)
    return QueueClient(actor=actor, wait_s=wait_s)
