"""Several engines behind one address: what Ray Serve is told, and what it does with it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from ray import serve

from rankers.backends.load import LoadedBackend
from rankers.errors import UserError
from rankers.methods.by_name import Built, RerankerSpec
from rankers.serve.engine.service import DeadlineError, RankRequest
from rankers.types import Passage, Query
from rlpost.serving.specs import settings_from
from tests.paths import REPO
from tests.rankers.serve import engines
from tests.rankers.serve.fakes import WordService
from workers.serve import DEPLOYMENT, NAME, QUIET, app, application, gpus_each
from workers.serve.replica import WaitForRestart

MODEL = {"name": "small", "method": "listwise", "model": "tiny-ranker"}
SLOW_S = 0.4
DOCUMENTS = [f"text worth {worth}" for worth in (17, 3, 99)]
BEST_FIRST = [2, 0, 1]


def test_the_keys_of_a_serving_file_are_the_arguments(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({"models": [MODEL], "limits": {"queue_jobs": 5}}))
    assert isinstance(app({"config": str(file), "limits": {"queue_jobs": 7}}), serve.Application)
    assert isinstance(app({"models": [MODEL]}), serve.Application)
    with pytest.raises(UserError, match=r"models\.windw: unknown key"):
        app({"models": [MODEL | {"windw": 3}]})
    with pytest.raises(UserError, match=r"none\.yaml' does not exist"):
        app({"config": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("gpus", "replicas", "each"), [(0, 4, 0), (1, 1, 1), (8, 2, 1), (2, 3, 1 / 2), (1, 4, 1 / 4)]
)
def test_all_replicas_fit_on_the_gpus(gpus: int, replicas: int, each: float) -> None:
    assert gpus_each(gpus, replicas) == each


def test_the_example_scales_the_deployment_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve.schema import ServeDeploySchema

    monkeypatch.chdir(REPO)
    text = (REPO / "configs" / "serve" / "ray.yaml").read_text("utf-8")
    (only,) = ServeDeploySchema.model_validate(yaml.safe_load(text)).applications
    assert (only.import_path, only.name) == ("workers.serve:app", NAME)
    assert [deployment.name for deployment in only.deployments] == [DEPLOYMENT]
    assert isinstance(app(only.args), serve.Application)


def test_newcomers_wait_for_the_engine_until_their_deadline() -> None:
    async def asked(*, in_s: float, back_in_s: float) -> float:
        service = WordService(ready=False)
        start = time.monotonic()
        asyncio.get_running_loop().call_later(back_in_s, setattr, service, "ready", True)
        passages = (Passage(id="0", text="which"),)
        query = Query(id="q", text="which")
        job = RankRequest(
            id="1", model="words", query=query, passages=passages, deadline=start + in_s
        )
        await WaitForRestart(service=service).rank(job)
        assert service.ready
        return time.monotonic() - start

    assert asyncio.run(asked(in_s=60.0, back_in_s=0.2)) >= 0.2
    with pytest.raises(DeadlineError):
        asyncio.run(asked(in_s=0.2, back_in_s=3600))


def slow(spec: RerankerSpec, loaded: LoadedBackend | None) -> Built:
    return engines.build(engines.spec("yes_no", delay_s=SLOW_S), loaded)


@pytest.fixture
def url(local_ray: None) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = settings_from(None, {"models": [MODEL]}, [])
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=QUIET)
    serve.run(application(settings, build=slow, num_replicas=2), name=NAME, logging_config=QUIET)
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()  # type: ignore[no-untyped-call]


def engine_pids() -> list[int]:
    below = psutil.Process().children(recursive=True)
    return [process.pid for process in below if "rankers.serve.engine.worker" in process.cmdline()]


@pytest.mark.ray
@pytest.mark.slow
def test_a_lost_engine_costs_only_what_it_was_doing(url: str) -> None:
    asking = httpx.Client(base_url=url, timeout=60)
    pool = ThreadPoolExecutor(8)
    begun = threading.Semaphore(0)

    def ask() -> int:
        begun.release()
        body = {"model": "small", "query": "which", "documents": DOCUMENTS}
        answer = asking.post("/v2/rerank", json=body)
        if answer.status_code == 200:
            assert [result["index"] for result in answer.json()["results"]] == BEST_FIRST
        return answer.status_code

    def several() -> list[Future[int]]:
        asked = [pool.submit(ask) for _ in range(8)]
        for _ in asked:
            begun.acquire()
        return asked

    with asking, pool:
        assert {asked.result() for asked in several()} == {200}
        lost, other = engine_pids()
        under_way = several()
        threading.Event().wait(SLOW_S / 2)
        os.kill(lost, signal.SIGKILL)
        # Those that come now wait for the engine, or go to the replica that has one.
        later = several()
        told = Counter(asked.result() for asked in under_way)
        assert set(told) == {200, 503}, "both replicas answered, and one of them lost its engine"
        assert {asked.result() for asked in later} == {200}
        assert lost not in engine_pids()
        assert other in engine_pids()
        last = several()
        threading.Event().wait(SLOW_S / 2)
        serve.delete(NAME)
        assert {asked.result() for asked in last} == {200}, "requests under way are finished"
    assert engine_pids() == []
