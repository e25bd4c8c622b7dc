"""The hand-over from rollouts to the learner: bounded, idempotent, leased, strict about staleness.

Pure Python with an injected clock; ``workers.train.queue`` puts it into a process of its own. The
unit is a whole group.

    put -> waiting --lease--> leased --ack--> settled      (trained: never accepted again)
              ^                  |
              +-- lease expired -+--> quarantined  (lent ``max_attempts`` times, never acked)
              |
              +-- too old at lease --> dropped             (to be rolled out again, ``attempt`` + 1)
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rlpost.errors import QueueError
from rlpost.streaming.frontier import CompletedPositions
from rlpost.streaming.messages import (
    BufferStats,
    Counts,
    Dropped,
    Lease,
    PutAnswer,
    QueuedGroup,
    QueueSnapshot,
)


@dataclass(slots=True)
class _Held:
    """A parcel inside the buffer and its history."""

    parcel: QueuedGroup
    arrived: float
    deliveries: int = 0


class GroupBuffer:
    """Bounded by ``max_rows`` and ``max_bytes``, counting groups on lease, which are still held.

    ``max_lag``: a group whose version is older than the learner's by more is never leased.
    ``max_attempts``: a group handed out that often without an ack is set aside and reported.
    """

    def __init__(
        self,
        *,
        run_id: str,
        max_rows: int,
        max_bytes: int,
        max_lag: int,
        max_attempts: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_id = run_id
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._max_lag, self._max_attempts = max_lag, max_attempts
        self._clock = clock
        self._version = 0
        self._held: dict[int, _Held] = {}
        self._waiting: list[_Held] = []
        self._leases: dict[int, Lease] = {}
        self._expired: dict[int, Lease] = {}
        self._next_lease = 0
        self._settled = CompletedPositions()
        self._next_attempts: dict[int, int] = {}
        self._dropped: dict[int, Dropped] = {}
        self._quarantined: dict[int, Dropped] = {}
        self._rows = self._bytes = 0
        self._refused = False
        self._may_hold_stale = False
        self._counts = Counts()

    def put(self, parcel: QueuedGroup) -> PutAnswer:
        """Hand a group over. Safe to repeat: only the first put of a stream position is accepted.

        ``full``: try again later. ``stale``: refused for good; roll the prompt out again with
        ``attempt`` + 1. Raises QueueError for a group of another run or that can never fit.
        """
        self._check(parcel)
        if parcel.index in self._settled or parcel.index in self._held:
            self._counts.duplicates += 1
            return "duplicate"
        if parcel.key.attempt < self._next_attempts.get(parcel.index, 0):
            return "stale"
        if self._is_stale(parcel):
            self._refuse_stale(parcel)
            return "stale"
        rows, size = self._rows + parcel.num_rows, self._bytes + parcel.num_bytes
        if rows > self._max_rows or size > self._max_bytes:
            self._refused = True
            return "full"
        self._admit(_Held(parcel=parcel, arrived=self._clock()))
        self._counts.accepted += 1
        return "ok"

    def lease(self, num_groups: int, *, version: int, ttl: float) -> Lease | None:
        """The ``num_groups`` earliest fresh groups for ``ttl`` seconds; None while there are fewer.

        ``version`` is the learner's; it may not fall. Raises QueueError when the budget is spent on
        fewer groups than were asked for, which waiting cannot mend.
        """
        if version < self._version:
            raise QueueError(f"lease for version {version} after one for version {self._version}")
        self._may_hold_stale |= version > self._version
        self._version = version
        self.expire()
        if self._may_hold_stale:
            self._sweep()
        if len(self._waiting) < num_groups:
            if self._refused and not self._leases:
                raise QueueError(
                    f"{len(self._held)} groups ({self._rows} rows, {self._bytes} bytes) fill the "
                    f"queue but a step needs {num_groups}: raise streaming.queue_mb"
                )
            return None
        taken, self._waiting = self._waiting[:num_groups], self._waiting[num_groups:]
        return self._lend(taken, ttl)

    def ack(self, lease_id: int) -> None:
        """The optimizer step on these groups is done: they are trained and can never come back.

        An ack that comes after the lease expired still tells the truth and is accepted, unless a
        group was lent again meanwhile: then it is being trained twice, and QueueError says so.
        """
        self.expire()
        late = lease_id in self._expired
        lease = self._expired.pop(lease_id) if late else self._leases.pop(lease_id, None)
        if lease is None:
            raise QueueError(f"ack of lease {lease_id}, which was never given or is acked already")
        if twice := [p.index for p in lease.parcels if self._went_on(p.index)]:
            raise QueueError(f"lease {lease_id} expired and {twice} were lent again: raise the ttl")
        for parcel in lease.parcels:
            self._settle(parcel)
        if late:
            self._waiting = [held for held in self._waiting if held.parcel.index in self._held]

    def mark_trained(self, indices: Sequence[int]) -> None:
        """These positions were trained on under a lease of a buffer that is gone."""
        for index in indices:
            if index in self._held:
                self._forget(self._held[index].parcel)
        self.discard(indices)
        self._waiting = [held for held in self._waiting if held.parcel.index in self._held]

    def discard(self, indices: Iterable[int]) -> list[int]:
        """Settle positions that no group will come for; returns those that have one in here."""
        held = []
        for index in indices:
            if index in self._held:
                held.append(index)
            elif index not in self._settled:
                self._settled.add(index)
                self._dropped.pop(index, None)
                self._next_attempts.pop(index, None)
        return held

    def release(self, lease_id: int) -> None:
        """Give a lease back untrained, without waiting for it to expire."""
        lease = self._leases.pop(lease_id, None)
        if lease is not None:
            self._take_back(lease)

    def expire(self) -> None:
        """Take back every lease whose time is over."""
        now = self._clock()
        for lease in [one for one in self._leases.values() if one.expires <= now]:
            self._expired[lease.id] = self._leases.pop(lease.id)
            self._take_back(lease)

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Stale groups whose prompts have not come back; repeated until then: no report is lost."""
        return tuple(self._dropped.values())

    @property
    def quarantined(self) -> tuple[Dropped, ...]:
        """Groups set aside because no consumer ever acknowledged them."""
        return tuple(self._quarantined.values())

    def stats(self) -> BufferStats:
        return BufferStats(
            waiting=len(self._waiting),
            leased=len(self._held) - len(self._waiting),
            rows=self._rows,
            bytes=self._bytes,
            quarantined=len(self._quarantined),
            counts=replace(self._counts),
        )

    def snapshot(self) -> QueueSnapshot:
        return QueueSnapshot(
            version=self._version,
            waiting=tuple(self._held[index].parcel for index in sorted(self._held)),
            settled_below=self._settled.below,
            settled_beyond=tuple(self._settled.beyond),
            next_attempts=dict(self._next_attempts),
            deliveries={i: h.deliveries for i, h in self._held.items() if h.deliveries},
            dropped=dict(self._dropped),
            quarantined=dict(self._quarantined),
        )

    def restore(self, snapshot: QueueSnapshot) -> None:
        """Go on from ``snapshot``. Only for a buffer that is still empty."""
        if self._held or len(self._settled):
            raise QueueError(f"restore into a buffer that holds {len(self._held)} groups")
        self._version, self._may_hold_stale = snapshot.version, True
        self._settled = CompletedPositions(
            below=snapshot.settled_below, beyond=snapshot.settled_beyond
        )
        self._next_attempts = dict(snapshot.next_attempts)
        self._dropped = dict(snapshot.dropped)
        self._quarantined = dict(snapshot.quarantined)
        for parcel in snapshot.waiting:
            deliveries = snapshot.deliveries.get(parcel.index, 0)
            self._admit(_Held(parcel=parcel, arrived=self._clock(), deliveries=deliveries))

    def _check(self, parcel: QueuedGroup) -> None:
        if parcel.key.run_id != self._run_id:
            raise QueueError(f"group of run {parcel.key.run_id!r} put to run {self._run_id!r}")
        if parcel.num_rows > self._max_rows or parcel.num_bytes > self._max_bytes:
            raise QueueError(
                f"a group of {parcel.num_rows} rows and {parcel.num_bytes} bytes cannot fit "
                f"{self._max_rows} rows and {self._max_bytes} bytes: raise streaming.queue_mb"
            )

    def _is_stale(self, parcel: QueuedGroup) -> bool:
        return self._version - parcel.version > self._max_lag

    def _went_on(self, index: int) -> bool:
        lent = any(p.index == index for lease in self._leases.values() for p in lease.parcels)
        return lent or (index in self._settled and index not in self._quarantined)

    def _admit(self, held: _Held) -> None:
        parcel = held.parcel
        self._held[parcel.index] = held
        insort(self._waiting, held, key=_position)
        self._rows += parcel.num_rows
        self._bytes += parcel.num_bytes
        self._dropped.pop(parcel.index, None)
        self._refused = False

    def _lend(self, taken: Sequence[_Held], ttl: float) -> Lease:
        now = self._clock()
        for held in taken:
            self._counts.redelivered += held.deliveries > 0
            held.deliveries += 1
        lease = Lease(
            id=self._next_lease,
            parcels=tuple(held.parcel for held in taken),
            expires=now + ttl,
            waited_s=sum(now - held.arrived for held in taken) / len(taken),
        )
        self._next_lease += 1
        self._leases[lease.id] = lease
        return lease

    def _take_back(self, lease: Lease) -> None:
        self._may_hold_stale = True
        for parcel in lease.parcels:
            held = self._held[parcel.index]
            if held.deliveries < self._max_attempts:
                insort(self._waiting, held, key=_position)
            else:
                self._forget(parcel)
                self._quarantined[parcel.index] = _dropped(parcel)
                self._settled.add(parcel.index)

    def _sweep(self) -> None:
        self._may_hold_stale = False
        stale = [held for held in self._waiting if self._is_stale(held.parcel)]
        self._waiting = [h for h in self._waiting if not self._is_stale(h.parcel)]
        for held in stale:
            self._forget(held.parcel)
            self._refuse_stale(held.parcel)

    def _refuse_stale(self, parcel: QueuedGroup) -> None:
        self._counts.stale += 1
        self._counts.tokens_stale += parcel.num_tokens
        self._next_attempts[parcel.index] = parcel.key.attempt + 1
        self._dropped[parcel.index] = _dropped(parcel)

    def _settle(self, parcel: QueuedGroup) -> None:
        if parcel.index in self._held:
            self._forget(self._held[parcel.index].parcel)
        self._dropped.pop(parcel.index, None)
        self._next_attempts.pop(parcel.index, None)
        if self._quarantined.pop(parcel.index, None) is None:
            self._settled.add(parcel.index)
        self._counts.trained += 1
        self._counts.tokens_trained += parcel.num_tokens

    def _forget(self, parcel: QueuedGroup) -> None:
        del self._held[parcel.index]
        self._rows -= parcel.num_rows
        self._bytes -= parcel.num_bytes
        self._refused = False


def _dropped(parcel: QueuedGroup) -> Dropped:
    return Dropped(key=parcel.key, index=parcel.index, num_tokens=parcel.num_tokens)


def _position(held: _Held) -> int:
    return held.parcel.index
