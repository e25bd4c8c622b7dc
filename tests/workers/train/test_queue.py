"""The waiting of the queue actor, in one asyncio loop without Ray; then its client, with Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from rlpost.errors import QueueError
from rlpost.streaming.group_queue import GroupBuffer
from tests.parcels import buffer, parcel
from workers.train.queue import LeaseAnswer, QueueActor, QueueClient, QueueDiedError, start_queue


def in_loop(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(body, timeout=30))


def actor(*, groups: int = 2) -> QueueActor:
    return QueueActor(buffer(groups=groups), None)


async def lease(queue: QueueActor, num_groups: int, *, wait_s: float = 20.0) -> LeaseAnswer:
    return await queue.lease(num_groups, version=0, ttl=60.0, wait_s=wait_s)


def test_a_put_waits_for_room_and_first_come_is_first_served() -> None:
    async def body() -> None:
        queue = actor(groups=2)
        await queue.put(parcel(0), 1.0)
        await queue.put(parcel(1), 1.0)
        waiting = [asyncio.create_task(queue.put(parcel(i), 20.0)) for i in (5, 3, 4)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        lent = (await lease(queue, 1)).lease
        assert lent is not None
        await queue.ack(lent.id)
        assert await waiting[0] == "ok"
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting[1:])
        for task in waiting:
            task.cancel()

    in_loop(body())


def test_a_put_that_finds_no_room_in_time_says_full_and_leaves_the_turn() -> None:
    async def body() -> None:
        queue = actor(groups=1)
        await queue.put(parcel(0), 1.0)
        assert await queue.put(parcel(1), 0.01) == "full"
        assert await queue.put(parcel(0), 0.01) == "duplicate"

    in_loop(body())


def test_a_lease_waits_for_the_last_group_it_needs() -> None:
    async def body() -> None:
        queue = actor()
        asked = asyncio.create_task(lease(queue, 2))
        await queue.put(parcel(1), 1.0)
        await asyncio.sleep(0.01)
        assert not asked.done()
        await queue.put(parcel(0), 1.0)
        lent = (await asked).lease
        assert lent is not None
        assert [p.index for p in lent.parcels] == [0, 1]

    in_loop(body())


def test_a_lease_gives_up_in_time_or_when_stale_groups_must_be_redone() -> None:
    async def body() -> None:
        queue = actor()
        assert (await lease(queue, 1, wait_s=0.01)).lease is None
        await queue.put(parcel(0, version=0), 1.0)
        answer = await queue.lease(1, version=2, ttl=60.0, wait_s=20.0)
        assert answer.lease is None
        assert [d.index for d in answer.dropped] == [0]

    in_loop(body())


def test_a_released_lease_goes_to_who_waits() -> None:
    async def body() -> None:
        queue = actor()
        await queue.put(parcel(0), 1.0)
        first = (await lease(queue, 1)).lease
        assert first is not None
        second = asyncio.create_task(lease(queue, 1))
        await queue.release(first.id)
        assert (await second).lease is not None

    in_loop(body())


def remote_queue(*, groups: int, wait_s: float) -> QueueClient:
    bounded = GroupBuffer(
        run_id="run", max_rows=4 * groups, max_bytes=1 << 20, max_lag=1, max_attempts=2
    )
    return start_queue(bounded, wait_s=wait_s, snapshot=None)


def ask_for(seconds: float, queue: QueueClient) -> None:
    """Go on asking: a kill takes effect a moment later."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        queue.stats()


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_client_carries_groups_errors_and_deadlines() -> None:
    import ray

    queue = remote_queue(groups=2, wait_s=0.2)
    assert queue.put([parcel(1), parcel(0)]) == ["ok", "ok"]
    assert queue.put([parcel(1)]) == ["duplicate"]
    with pytest.raises(QueueError, match=r"no room in the queue for 0.2 s"):
        queue.put([parcel(2)])
    lent = queue.lease(2, version=0, ttl=60.0).lease
    assert lent is not None
    assert lent.parcels == (parcel(0), parcel(1))
    queue.ack(lent.id)
    with pytest.raises(QueueError, match="acked already"):
        queue.ack(lent.id)
    assert queue.stats().counts.trained == 2
    ray.kill(queue.actor)
    with pytest.raises(QueueDiedError, match="the queue's process died"):
        ask_for(20, queue)
