"""One replica on Ray Serve: the routes of a server, with an engine process of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from ray import serve

from rankers.methods.by_name import build_reranker
from rankers.serve.engine import messages
from rankers.serve.engine.service import (
    Embedded,
    EngineLostError,
    ModelInfo,
    RankRequest,
    Service,
    Stats,
)
from rankers.serve.engine.supervisor import Supervisor
from rankers.serve.http.app import create_app
from rankers.serve.log import log_to
from rankers.serve.run import followed
from rankers.serve.settings import Settings
from rankers.types import Ranking
from rlpost.serving.latest_adapter import newest_adapter
from rlpost.serving.specs import specs_of

LOOK_S = 0.1


@dataclass(kw_only=True)
class WaitForRestart:
    """``Service`` whose newcomers wait, within their deadline, while the engine is started again.

    A replica that refuses at once has the shortest queue of all, and would be sent everything.
    """

    service: Service
    draining: bool = field(default=False, init=False)

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """See ``Service.models``."""
        return self.service.models

    @property
    def ready(self) -> bool:
        """See ``Service.ready``."""
        return self.service.ready

    async def rank(self, job: RankRequest) -> Ranking:
        """See ``Service.rank``."""
        await self._recovery(job.deadline)
        return await self.service.rank(job)

    async def embed(self, model: str, texts: Sequence[str], *, deadline: float | None) -> Embedded:
        """See ``Service.embed``."""
        await self._recovery(deadline)
        return await self.service.embed(model, texts, deadline=deadline)

    async def swap(self, model: str, adapter: Path) -> int:
        """See ``Service.swap``."""
        return await self.service.swap(model, adapter)

    def stats(self) -> Stats:
        """See ``Service.stats``."""
        return self.service.stats()

    async def drain(self) -> None:
        """See ``Service.drain``."""
        self.draining = True
        await self.service.drain()

    async def _recovery(self, deadline: float | None) -> None:
        until = float("inf") if deadline is None else deadline
        while not (self.service.ready or self.draining) and time.monotonic() < until:
            await asyncio.sleep(LOOK_S)


@serve.ingress()
class Replica:
    """What Ray Serve starts, asks whether it is well, and ends when its requests are done."""

    async def __init__(self, settings: Settings, build: messages.Build = build_reranker) -> None:  # type: ignore[misc]
        """Loads all models of ``settings``. Raises RlpostError or RankerError, one sentence."""
        log_to(sys.stderr, texts=settings.log_documents)
        specs = await asyncio.to_thread(specs_of, settings)
        self._settings = settings
        self._service = await Supervisor.started(settings, specs, build=build)
        self._followers = followed(self._service, settings, newest_adapter)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """For Ray Serve; its shutdown drains the service and ends the engine."""
        return create_app(WaitForRestart(service=self._service), self._settings)

    async def check_health(self) -> None:
        """For Ray Serve, which replaces a replica that raises here three times in a row."""
        if not self._service.ready:
            raise EngineLostError("the engine died and is being started again")

    async def infos(self) -> list[ModelInfo]:
        """Of the models, in the order of the settings."""
        return list(self._service.models.values())
