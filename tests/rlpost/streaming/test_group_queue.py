"""The group buffer, case by case: bounds, leases, staleness, effect-once."""

from __future__ import annotations

import pytest

from rlpost.errors import QueueError
from rlpost.streaming.group_queue import GroupBuffer
from rlpost.streaming.messages import Lease, QueuedGroup
from rlpost.types import GroupKey
from tests.parcels import ROWS, SIZE, Clock, buffer, indices, parcel


def lease(b: GroupBuffer, num_groups: int, *, version: int = 0, ttl: float = 10.0) -> Lease:
    lent = b.lease(num_groups, version=version, ttl=ttl)
    assert lent is not None
    return lent


def test_put_is_idempotent_by_stream_position() -> None:
    b = buffer()
    assert b.put(parcel(0)) == "ok"
    assert b.put(parcel(0)) == "duplicate"
    assert b.put(parcel(0, attempt=1)) == "duplicate"
    lent = lease(b, 1)
    assert b.put(parcel(0)) == "duplicate"
    b.ack(lent.id)
    assert b.put(parcel(0, attempt=5)) == "duplicate"
    assert b.stats().counts.duplicates == 4


def test_lease_gives_the_earliest_positions_whole_or_nothing() -> None:
    b = buffer()
    for index in (3, 1, 2):
        b.put(parcel(index))
    assert b.lease(4, version=0, ttl=1) is None
    assert indices(lease(b, 2)) == [1, 2]
    assert indices(lease(b, 1)) == [3]


def test_rows_and_bytes_are_bounded_and_leases_count() -> None:
    b = buffer(groups=2)
    assert [b.put(parcel(i)) for i in range(3)] == ["ok", "ok", "full"]
    lent = lease(b, 2)
    assert b.put(parcel(2)) == "full"
    b.ack(lent.id)
    assert b.put(parcel(2)) == "ok"
    assert (b.stats().rows, b.stats().bytes) == (ROWS, SIZE)


def test_a_group_that_can_never_fit_is_an_error() -> None:
    with pytest.raises(QueueError, match=r"41 bytes cannot fit 16 rows and 40 bytes.*queue_mb"):
        buffer().put(parcel(0, size=41))


def test_a_step_that_can_never_fit_is_an_error_instead_of_a_deadlock() -> None:
    b = buffer(groups=2)
    for index in range(3):
        b.put(parcel(index))
    with pytest.raises(QueueError, match=r"2 groups .* a step needs 3: raise streaming.queue_mb"):
        b.lease(3, version=0, ttl=1)


def test_waiting_for_a_producer_after_an_ack_is_no_deadlock() -> None:
    b = buffer(groups=2)
    for index in range(3):
        b.put(parcel(index))
    b.ack(lease(b, 2).id)
    assert b.lease(2, version=1, ttl=1) is None


def test_a_group_of_another_run_is_refused() -> None:
    stranger = QueuedGroup(
        key=GroupKey("other", 0, "q0", 0), index=0, version=0, num_rows=1, num_tokens=1, payload=b""
    )
    with pytest.raises(QueueError, match="group of run 'other' put to run 'run'"):
        buffer().put(stranger)


def test_stale_groups_are_dropped_at_lease_and_their_prompt_may_come_back() -> None:
    b = buffer(max_lag=1)
    b.put(parcel(0, version=0))
    b.put(parcel(1, version=1))
    assert b.lease(2, version=2, ttl=1) is None
    assert [(d.index, d.key.attempt, d.num_tokens) for d in b.dropped] == [(0, 0, 100)]
    assert b.put(parcel(0, version=2)) == "stale", "the same attempt arrives once more"
    assert b.put(parcel(0, version=2, attempt=1)) == "ok"
    assert b.dropped == ()
    assert indices(lease(b, 2, version=2)) == [0, 1]
    counts = b.stats().counts
    assert (counts.stale, counts.tokens_stale) == (1, 100)


def test_a_group_that_arrives_stale_is_refused_and_reported() -> None:
    b = buffer(max_lag=0)
    assert b.lease(1, version=3, ttl=1) is None
    assert b.put(parcel(0, version=2)) == "stale"
    assert [d.index for d in b.dropped] == [0]
    assert b.put(parcel(0, version=3, attempt=1)) == "ok"


def test_a_lag_of_exactly_max_lag_is_fresh() -> None:
    b = buffer(max_lag=2)
    b.put(parcel(0, version=1))
    assert indices(lease(b, 1, version=3)) == [0]


def test_the_learner_version_may_not_fall() -> None:
    b = buffer()
    b.lease(1, version=2, ttl=1)
    with pytest.raises(QueueError, match="version 1 after one for version 2"):
        b.lease(1, version=1, ttl=1)


def test_expired_leases_return_in_their_old_order() -> None:
    clock = Clock()
    b = buffer(clock=clock)
    for index in range(4):
        b.put(parcel(index))
    lease(b, 2, ttl=5)
    clock.now = 5
    assert indices(lease(b, 3)) == [0, 1, 2]
    assert b.stats().counts.redelivered == 2


def test_release_gives_back_at_once() -> None:
    b = buffer()
    b.put(parcel(0))
    b.release(lease(b, 1).id)
    assert indices(lease(b, 1)) == [0]


def test_a_late_ack_is_the_truth() -> None:
    clock = Clock()
    b = buffer(clock=clock)
    b.put(parcel(0))
    b.put(parcel(1))
    late = lease(b, 1, ttl=5)
    clock.now = 6
    b.ack(late.id)
    assert indices(lease(b, 1)) == [1]
    assert b.put(parcel(0)) == "duplicate"


def test_an_ack_after_the_group_went_on_is_refused() -> None:
    clock = Clock()
    b = buffer(clock=clock, max_attempts=5)
    b.put(parcel(0))
    first = lease(b, 1, ttl=5)
    clock.now = 6
    second = lease(b, 1, ttl=5)
    with pytest.raises(QueueError, match=r"\[0\] were lent again: raise the ttl"):
        b.ack(first.id)
    b.ack(second.id)
    assert b.stats().counts.trained == 1


def test_an_ack_twice_is_refused() -> None:
    b = buffer()
    b.put(parcel(0))
    lent = lease(b, 1)
    b.ack(lent.id)
    with pytest.raises(QueueError, match="never given or is acked already"):
        b.ack(lent.id)


def test_what_was_trained_under_another_buffer_is_settled_here() -> None:
    b = buffer()
    b.put(parcel(0))
    b.put(parcel(1))
    b.mark_trained([0, 2])
    assert [b.put(parcel(i)) for i in (0, 2)] == ["duplicate", "duplicate"]
    assert indices(lease(b, 1)) == [1]
    assert b.stats().rows == ROWS


def test_a_group_that_is_never_acked_is_quarantined() -> None:
    clock = Clock()
    b = buffer(clock=clock, max_attempts=2)
    b.put(parcel(0))
    for _ in range(2):
        lease(b, 1, ttl=1)
        clock.now += 2
    assert b.lease(1, version=0, ttl=1) is None
    assert [d.index for d in b.quarantined] == [0]
    assert b.put(parcel(0, attempt=1)) == "duplicate"
    assert b.stats().rows == 0


def test_a_restored_buffer_goes_on_where_the_snapshot_was_taken() -> None:
    b = buffer()
    for index in range(4):
        b.put(parcel(index, version=1))
    b.ack(lease(b, 1, version=1).id)
    lease(b, 1, version=1)
    again = buffer()
    again.restore(b.snapshot())
    assert again.put(parcel(0)) == "duplicate"
    assert indices(lease(again, 3, version=1)) == [1, 2, 3]
    with pytest.raises(QueueError, match="restore into a buffer that holds 3 groups"):
        again.restore(b.snapshot())


def test_discard_settles_what_is_not_in_here_and_names_what_is() -> None:
    """The prompt of a stale group, rolled out again without contrast: nobody waits for it now."""
    b = buffer(max_lag=0)
    b.put(parcel(0))
    b.put(parcel(1, version=1))
    assert b.lease(2, version=1, ttl=1) is None
    assert [dropped.index for dropped in b.dropped] == [0]
    assert b.discard([0, 1, 2]) == [1]
    assert b.dropped == ()
    assert b.discard([0, 2]) == []
    assert b.put(parcel(2, version=1)) == "duplicate"
    b.mark_trained([2])
    assert indices(lease(b, 1, version=1)) == [1]
