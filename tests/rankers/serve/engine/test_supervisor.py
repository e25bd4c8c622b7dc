"""The engine process under load: nobody gets another's answer, whoever leaves or dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from rankers.errors import BackendError, DataError, ScoreError
from rankers.serve.engine.follow import follow
from rankers.serve.engine.service import (
    DeadlineError,
    DrainingError,
    EngineLostError,
    QueueFullError,
)
from rankers.serve.engine.supervisor import Supervisor
from tests.rankers.serve.supervised import (
    SLOW_S,
    adapter,
    eventually,
    job,
    lone,
    saying,
    supervisor,
)


def test_joined_answers_are_the_lone_ones_and_share_calls() -> None:
    async def scenario() -> None:
        async with supervisor() as service:
            sizes = {number: number % 30 for number in range(90)}
            jobs = [job(number, n, model="sorting") for number, n in sizes.items()]
            found = await asyncio.gather(*map(service.rank, jobs))
            assert found == [lone(*item, method="setwise likelihood") for item in sizes.items()]
            stats = service.stats()
            asked = sum(ranking.trace.calls for ranking in found)
            assert stats.engine_questions == asked > 10 * stats.engine_batches > 0
            assert (stats.queued_jobs, stats.running_jobs) == (0, 0)

    asyncio.run(scenario())


def test_a_killed_engine_costs_its_queries_and_comes_back() -> None:
    async def client(service: Supervisor, number: int, lost: list[int]) -> None:
        n = 3 + number % 9
        model = ["fast", "sorting"][number % 2]
        try:
            ranking = await service.rank(job(number, n, model=model))
        except EngineLostError:
            lost.append(number)
        else:
            method = ["yes_no", "setwise likelihood"][number % 2]
            assert ranking == lone(number, n, method=method)

    async def scenario() -> None:
        async with supervisor() as service:
            lost: list[int] = []
            waiting = asyncio.create_task(service.rank(job(0, model="slow")))
            await asyncio.sleep(SLOW_S / 2)
            load = [asyncio.create_task(client(service, number, lost)) for number in range(100)]
            await asyncio.sleep(0)
            killed, began = service.engine_pid, time.monotonic()
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(EngineLostError):
                await waiting
            await asyncio.gather(*load)
            assert lost
            assert not service.ready
            assert time.monotonic() - began < 20  # at once, not after a deadline
            with pytest.raises(EngineLostError):
                await service.rank(job(1))
            await eventually(lambda: service.ready)
            assert service.engine_pid != killed
            lost.clear()
            await asyncio.gather(*(client(service, number, lost) for number in range(100)))
            assert not lost
            assert service.stats().engine_restarts == 1

    asyncio.run(scenario())


def test_who_leaves_or_is_late_is_withdrawn_and_who_breaks_the_model_is_alone_in_it() -> None:
    async def scenario() -> None:
        async with supervisor() as service:
            leaving = asyncio.create_task(service.rank(job(1, model="slow")))
            with pytest.raises(DeadlineError):
                await service.rank(job(2, model="slow", in_s=SLOW_S / 3))
            with pytest.raises(DeadlineError):
                await service.rank(job(2, in_s=-1))
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            assert service.stats().running_jobs == 0
            good, nan, crash = await asyncio.gather(
                service.rank(job(3)),
                service.rank(saying("NaN")),
                service.rank(saying("crash")),
                return_exceptions=True,
            )
            assert good == lone(3)
            assert isinstance(nan, ScoreError)
            assert isinstance(crash, BackendError)
            assert "out of memory" in str(crash)
            with pytest.raises(DataError, match="use one of fast, slow"):
                await service.rank(job(1, model="other"))

    asyncio.run(scenario())


def test_a_full_queue_refuses_and_the_important_go_first() -> None:
    async def scenario() -> None:
        limits = {"queue_jobs": 8, "queue_tokens": 500}
        async with supervisor(limits=limits, batching={"questions": 1}) as service:
            order: list[int] = []

            async def ranked(number: int, priority: int) -> None:
                await service.rank(job(number, 1, model="slow", priority=priority))
                order.append(number)

            tasks = []
            for number, priority in enumerate([0, 0, 0, 5, 9]):
                tasks.append(asyncio.create_task(ranked(number, priority)))
                await asyncio.sleep(0)
            with pytest.raises(QueueFullError, match="500 allowed") as full:
                await service.rank(job(9, 200))
            assert full.value.retry_after >= 1
            others = [asyncio.create_task(service.rank(job(i, 1))) for i in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(QueueFullError, match="8 queries"):
                await service.rank(job(9))
            await asyncio.gather(*others)
            assert len(order) < 5  # another model's queries do not queue behind these
            await asyncio.gather(*tasks)
            assert order == [0, 4, 3, 1, 2]
            await service.rank(job(9, 200))  # too large beside others, not alone

    asyncio.run(scenario())


def test_a_drain_finishes_what_there_is() -> None:
    async def scenario() -> None:
        async with supervisor() as service:
            waiting = [asyncio.create_task(service.rank(job(i, model="slow"))) for i in range(5)]
            await asyncio.sleep(0)
            draining = asyncio.create_task(service.drain())
            await asyncio.sleep(0)
            assert not service.ready
            with pytest.raises(DrainingError):
                await service.rank(job(6))
            assert await asyncio.gather(*waiting) == [lone(i) for i in range(5)]
            await draining
            with pytest.raises(ProcessLookupError):
                os.kill(service.engine_pid, 0)

    asyncio.run(scenario())


def test_adapters_are_swapped_under_load_and_a_bad_one_is_not(tmp_path: Path) -> None:
    good, broken, newer = (adapter(tmp_path / name) for name in ("good", "broken", "newer"))
    (broken / "broken").touch()
    newest = good

    async def scenario() -> None:
        nonlocal newest
        async with supervisor() as service:
            under_way = [asyncio.create_task(service.rank(job(i, model="slow"))) for i in range(9)]
            await asyncio.sleep(SLOW_S / 2)
            assert await service.swap("slow", good) == 1
            assert await asyncio.gather(*under_way) == [lone(i) for i in range(9)]
            assert service.models["slow"].adapter == str(good)
            for bad, reason in (*[(broken, "do not fit")] * 3, (tmp_path, "is no adapter")):
                with pytest.raises(DataError, match=reason):
                    await service.swap("slow", bad)
            assert service.stats().versions == {
                name: int(name == "slow") for name in service.models
            }
            # What was swapped in outlives its folder and the engine, and the newest is followed.
            shutil.rmtree(good)
            following = asyncio.create_task(follow(service, "slow", lambda: newest, every_s=0.02))
            os.kill(service.engine_pid, signal.SIGKILL)
            await eventually(lambda: not service.ready)
            await eventually(lambda: service.ready)
            assert service.models["slow"].version == 1
            assert service.models["slow"].adapter == str(good)
            assert await service.rank(job(4, model="slow")) == lone(4)
            newest = broken
            await asyncio.sleep(0.1)
            newest = newer
            await eventually(lambda: service.models["slow"].version == 2)
            assert service.models["slow"].adapter == str(newer)
            following.cancel()

    asyncio.run(scenario())


def test_embeddings_are_kept_within_their_memory() -> None:
    async def scenario() -> None:
        async with supervisor(cache_bytes=50 * 1024) as service:  # of 1,024 bytes each
            texts = [f"text {i}" for i in range(40)]
            found = await service.embed("vectors", texts, deadline=None)
            assert np.array_equal(found.vectors[:, 1], np.arange(40, dtype=np.float32))
            await service.embed("vectors", texts, deadline=None)
            stats = service.stats()
            assert (stats.cache_hits, stats.cache_misses) == (40, 40)
            assert stats.cache_bytes == 40 * 1024
            for start in range(40, 1000, 40):
                more = [f"text {i}" for i in range(start, start + 40)]
                await service.embed("vectors", more, deadline=None)
            assert service.stats().cache_bytes == 50 * 1024
            with pytest.raises(DataError, match="no embeddings"):
                await service.embed("fast", texts, deadline=None)

    asyncio.run(scenario())
