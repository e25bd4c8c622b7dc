"""Engines that hang, cannot be started, or die or dawdle at the wrong moment."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rankers.backends.load import LoadedBackend
from rankers.errors import BackendError, DataError
from rankers.methods.by_name import Built, RerankerSpec
from rankers.serve.engine import messages
from rankers.serve.engine.adapter_copies import AdapterCopies
from rankers.serve.engine.process import EngineProcess
from rankers.serve.engine.service import DeadlineError, Embedded, EngineLostError
from rankers.serve.engine.supervisor import Supervisor
from rankers.serve.settings import Settings
from tests.rankers.serve.engines import build, spec
from tests.rankers.serve.supervised import (
    SLOW_S,
    adapter,
    eventually,
    job,
    lone,
    saying,
    supervisor,
)


def test_an_engine_that_hangs_is_replaced_and_an_idle_one_is_not() -> None:
    async def scenario() -> None:
        limits = {"hang_timeout_s": 0.5, "deadline_s": 0.1}
        async with supervisor(limits=limits) as service:
            first = service.engine_pid
            for _ in range(3):  # withdrawn before the engine has begun with it
                gone = asyncio.create_task(service.rank(job(1)))
                await asyncio.sleep(0)
                gone.cancel()
            await asyncio.sleep(1)
            assert (service.engine_pid, service.ready) == (first, True)
            hanging = saying("hang")
            late = replace(hanging, deadline=time.monotonic() + 0.1)
            with pytest.raises(DeadlineError):
                await service.rank(late)
            with pytest.raises(EngineLostError):  # the others do not wait for ever
                await service.rank(job(2))
            await eventually(lambda: service.ready)
            assert service.engine_pid != first
            assert await service.rank(job(2)) == lone(2)

    asyncio.run(scenario())


def test_withdrawn_embeddings_are_not_begun_and_others_have_turns_between() -> None:
    async def scenario() -> None:
        async with supervisor() as service:

            def embedding(number: int) -> asyncio.Task[Embedded]:
                work = service.embed("slow-vectors", [f"text {number}"], deadline=None)
                return asyncio.create_task(work)

            gone = [embedding(number) for number in range(40)]
            await asyncio.sleep(SLOW_S / 2)
            for task in gone:
                task.cancel()
            await service.rank(job(1))
            assert service.stats().cache_misses <= 2
            staying = [embedding(number) for number in range(100, 110)]
            await service.rank(job(1))
            assert not all(task.done() for task in staying)
            await asyncio.gather(*staying)

    asyncio.run(scenario())


def test_a_swap_under_way_when_the_engine_dies_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = adapter(tmp_path / "good")
    pids: list[int] = []
    copy = AdapterCopies.copy

    def dying(kept: AdapterCopies, model: str, source: Path) -> Path:
        os.kill(pids[0], signal.SIGKILL)
        time.sleep(0.3)  # in its thread, while the loss is noticed
        return copy(kept, model, source)

    monkeypatch.setattr(AdapterCopies, "copy", dying)

    async def scenario() -> None:
        async with supervisor() as service:
            pids.append(service.engine_pid)
            async with asyncio.timeout(10):
                with pytest.raises(EngineLostError):
                    await service.swap("fast", good)

    asyncio.run(scenario())


def test_an_engine_is_tried_again_when_there_was_no_room_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = EngineProcess.started
    tried = 0

    async def full(load: messages.LoadMessage) -> EngineProcess:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise OSError(errno.EMFILE, "too many open files")
        return await started(load)

    async def scenario() -> None:
        async with supervisor() as service:
            monkeypatch.setattr("rankers.serve.engine.supervisor.EngineProcess.started", full)
            os.kill(service.engine_pid, signal.SIGKILL)
            await eventually(lambda: tried > 0)
            await eventually(lambda: service.ready)
            assert tried == 2

    asyncio.run(scenario())


def never(spec: RerankerSpec, loaded: LoadedBackend | None) -> Built:
    time.sleep(60)
    raise AssertionError


def test_an_engine_that_loads_ends_with_its_server() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        worker = subprocess.Popen(
            [sys.executable, "-m", "rankers.serve.engine.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
        )
    load = messages.LoadMessage(
        specs={"m": spec("m")}, versions={"m": 0}, build=never, cache_bytes=0, questions=1
    )
    with ours:
        ours.sendall(messages.framed_message(load))
    assert worker.wait(timeout=30) == 0


TERMINATED = """
import asyncio, os, signal
from rankers.serve import run
from tests.rankers.serve.fakes import settings

async def started(*_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
    finally:
        print("cleaned up")

run.Supervisor.started = started
run.run_server(settings(port=0), {}, None)
"""


def test_a_server_that_loads_ends_in_order() -> None:
    command = [sys.executable, "-c", TERMINATED]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "cleaned up\n")
    assert "Traceback" not in ended.stderr


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (adapter(tmp_path / "bad") / "broken").touch()
    specs = {"good": spec("yes_no"), "worse": spec("yes_no", adapter=tmp_path / "bad")}
    models = [{"name": name, "method": "m", "model": "m"} for name in specs]
    settings = Settings.model_validate({"models": models})
    with pytest.raises(DataError, match="worse: its weights do not fit"):
        asyncio.run(Supervisor.started(settings, specs, build=build))


LEFT = """
import asyncio, os, signal
from rankers.serve.engine.supervisor import Supervisor
from tests.rankers.serve.engines import build, spec
from tests.rankers.serve.fakes import settings

async def leave():
    service = await Supervisor.started(settings(), {"m": spec("yes_no")}, build=build)
    print(service.engine_pid, flush=True)
    os.kill(service.engine_pid, signal.SIGSTOP)
    raise SystemExit

asyncio.run(leave())
"""


def test_an_engine_that_hangs_does_not_outlive_its_server() -> None:
    command = [sys.executable, "-c", LEFT]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    status = Path("/proc") / ended.stdout.strip() / "status"
    assert not status.exists() or "State:\tZ" in status.read_text()


@pytest.mark.parametrize("log_documents", [False, True])
def test_what_an_engine_logs_of_its_failures_quotes_no_texts_unless_asked(
    log_documents: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with supervisor(log_documents=log_documents) as service:
            for text in ("crash on zebra", "NaN for zebra"):
                with pytest.raises(BackendError, match=r"zebra|nan"):
                    await service.rank(saying(text))

    asyncio.run(scenario())
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["a query failed"] * 2
    assert "in label_logprobs" in lines[0]["exception"]
    assert "RuntimeError" in lines[0]["exception"]
    assert ("zebra" in lines[0]["exception"]) == log_documents
