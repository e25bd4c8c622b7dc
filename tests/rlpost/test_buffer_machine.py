"""The group buffer under any order of calls, checked against sets kept by hand."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rlpost.errors import QueueError
from rlpost.streaming.messages import Lease
from tests.parcels import ROWS, SIZE, Clock, buffer, indices, parcel


class BufferMachine(RuleBasedStateMachine):
    """Any order of calls, checked against sets kept by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.buffer = buffer(groups=6, max_lag=1, max_attempts=100, clock=self.clock)
        self.version = 0
        self.attempts: dict[int, int] = {}
        self.inside: set[int] = set()
        self.lent: dict[int, Lease] = {}
        self.trained: list[int] = []

    @rule(index=st.integers(0, 12), age=st.integers(0, 2))
    def put(self, index: int, age: int) -> None:
        for dropped in self.buffer.dropped:
            self.attempts[dropped.index] = dropped.key.attempt + 1
        version = max(0, self.version - age)
        attempt = self.attempts.get(index, 0)
        answer = self.buffer.put(parcel(index, version=version, attempt=attempt))
        if index in self.inside or index in self.trained:
            assert answer == "duplicate"
        elif answer == "ok":
            self.inside.add(index)
        else:
            assert (answer == "stale") == (self.version - version > 1)

    @rule(count=st.integers(1, 3), ttl=st.sampled_from([1.0, 100.0]), step=st.booleans())
    def lease(self, count: int, ttl: float, step: bool) -> None:
        self.version += step
        out = {i for held in self.lent.values() for i in indices(held)}
        try:
            lent = self.buffer.lease(count, version=self.version, ttl=ttl)
        except QueueError:
            lent = None
        self.inside -= {d.index for d in self.buffer.dropped}
        if lent is not None:
            assert not set(indices(lent)) & out, "lent twice at once"
            assert indices(lent) == sorted(indices(lent))
            assert all(self.version - p.version <= 1 for p in lent.parcels)
            self.lent[lent.id] = lent

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        lent = self.lent.pop(data.draw(st.sampled_from(sorted(self.lent))))
        self.buffer.ack(lent.id)
        self.inside -= set(indices(lent))
        self.trained += indices(lent)

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.buffer.release(self.lent.pop(data.draw(st.sampled_from(sorted(self.lent)))).id)

    @rule(seconds=st.sampled_from([0.4, 2.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.buffer.expire()
        self.lent = {i: held for i, held in self.lent.items() if held.expires > self.clock.now}

    @rule()
    def restart(self) -> None:
        snapshot = self.buffer.snapshot()
        self.buffer = buffer(groups=6, max_lag=1, max_attempts=100, clock=self.clock)
        self.buffer.restore(snapshot)
        self.lent.clear()

    @invariant()
    def nothing_is_lost_and_bounds_hold(self) -> None:
        stats = self.buffer.stats()
        assert stats.waiting + stats.leased == len(self.inside)
        assert stats.leased == sum(len(held.parcels) for held in self.lent.values())
        assert stats.rows == ROWS * len(self.inside) <= 6 * ROWS
        assert stats.bytes == SIZE * len(self.inside) <= 6 * SIZE
        assert len(set(self.trained)) == len(self.trained), "trained twice"


TestBufferMachine = BufferMachine.TestCase
TestBufferMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
