"""A supervisor on an engine process of readers, what to ask it, and what is right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from rankers.reranker.reranker import Reranker
from rankers.serve.engine.service import RankRequest
from rankers.serve.engine.supervisor import Supervisor
from rankers.serve.settings import Settings
from rankers.types import Passage, Query, Ranking
from tests.rankers.reader import METHODS, Reader, problem
from tests.rankers.serve.engines import build, spec

SLOW_S = 0.15
"""One call of the model ``slow``."""


@asynccontextmanager
async def supervisor(**more: object) -> AsyncIterator[Supervisor]:
    specs = {
        "fast": spec("yes_no"),
        "slow": spec("yes_no", delay_s=SLOW_S),
        "sorting": spec("setwise likelihood", delay_s=0.002),
        "vectors": spec("bi-encoder"),
        "slow-vectors": spec("bi-encoder", delay_s=SLOW_S),
    }
    models = [{"name": name, "method": "m", "model": "m"} for name in specs]
    settings = Settings.model_validate({"models": models, **more})
    service = await Supervisor.started(settings, specs, build=build)
    try:
        yield service
    finally:
        await service.drain()


def job(
    number: int, n: int = 6, *, model: str = "fast", priority: int = 0, in_s: float | None = None
) -> RankRequest:
    query, passages = problem(number, n)
    return RankRequest(
        id=str(number),
        model=model,
        query=query,
        passages=tuple(passages),
        priority=priority,
        deadline=None if in_s is None else time.monotonic() + in_s,
    )


def saying(text: str) -> RankRequest:
    passages = (Passage(id="a", text=text), Passage(id="b", text="worth 3"))
    return RankRequest(id="", model="fast", query=Query(id="", text=""), passages=passages)


def lone(number: int, n: int = 6, *, method: str = "yes_no") -> Ranking:
    reranker: Reranker = METHODS[method](Reader())
    return reranker.rank(*problem(number, n))


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def adapter(folder: Path) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    return folder
