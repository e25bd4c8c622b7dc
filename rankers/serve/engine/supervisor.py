"""The service itself: queries of all requests to one engine process, replaced when it dies."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from rankers.errors import DataError, RankerError
from rankers.methods.by_name import RerankerSpec, build_reranker
from rankers.prompting.model_families import ADAPTER_CONFIG
from rankers.serve.engine import messages
from rankers.serve.engine.adapter_copies import AdapterCopies
from rankers.serve.engine.admission import Admission, PendingRequest, estimated_tokens
from rankers.serve.engine.process import EngineProcess
from rankers.serve.engine.service import (
    DeadlineError,
    DrainingError,
    Embedded,
    EngineLostError,
    ModelInfo,
    RankRequest,
    Stats,
)
from rankers.serve.engine.watchdog import Watchdog
from rankers.serve.log import log
from rankers.serve.settings import Settings
from rankers.types import Ranking

MOST_RUNNING = 64
"""Queries of a model with the engine: what waits beyond keeps its priority."""
FIRST_PAUSE_S = 0.5
"""Before an engine is started again; doubles while it fails."""
LONGEST_PAUSE_S = 30.0


class Supervisor:
    """``Service`` on an engine process. Made by ``started``; belongs to one event loop.

    When the engine dies, everybody who waits gets EngineLostError at once, and so does whoever
    comes until another one has loaded. No answer can go astray: numbers are never used twice.
    """

    def __init__(
        self,
        settings: Settings,
        load: messages.LoadMessage,
        engine: EngineProcess,
        kept: AdapterCopies,
    ) -> None:
        self._load = load
        self._engine = engine
        self._kept = kept
        self._models = {name: kept.told(info) for name, info in engine.models.items()}
        most = min(MOST_RUNNING, settings.batching.questions)
        self._admission = Admission(limits=settings.limits, most_running=most)
        self._swaps: dict[int, tuple[messages.SwapMessage, asyncio.Future[messages.Result]]] = {}
        self._numbers = itertools.count()
        self._lost = False
        self._draining = False
        self._restarts = 0
        self._past = messages.Counters()
        """Of engines that are gone; what they had in memory is gone with them."""
        self._counters = messages.Counters()
        self._idle = asyncio.Event()
        self._silence = Watchdog(max(settings.limits.hang_timeout_s, settings.limits.deadline_s))
        self._watching = [asyncio.create_task(it) for it in (self._watch(), self._end_silence())]

    @classmethod
    async def started(
        cls,
        settings: Settings,
        specs: Mapping[str, RerankerSpec],
        *,
        build: messages.Build = build_reranker,
    ) -> Supervisor:
        """Start the engine and wait until all models are loaded.

        Raises RankerError, one sentence, where one cannot be loaded.
        """
        kept = AdapterCopies()
        load = messages.LoadMessage(
            specs=kept.specs(specs),
            versions=dict.fromkeys(specs, 0),
            build=build,
            cache_bytes=settings.cache_bytes,
            questions=settings.batching.questions,
            log_texts=settings.log_documents,
        )
        return cls(settings, load, await EngineProcess.started(load), kept)

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """See ``Service.models``."""
        return self._models

    @property
    def ready(self) -> bool:
        """See ``Service.ready``."""
        return not (self._lost or self._draining)

    @property
    def engine_pid(self) -> int:
        """Of the engine process there is now."""
        return self._engine.pid

    async def rank(self, job: RankRequest) -> Ranking:
        """See ``Service.rank``."""
        self._check(job.model, job.passages)
        texts = [job.query.text, *(passage.text for passage in job.passages)]
        entry = PendingRequest(
            message=messages.RankMessage(number=next(self._numbers), job=job),
            model=job.model,
            priority=job.priority,
            tokens=estimated_tokens(texts),
        )
        return cast(Ranking, await self._result(entry, job.deadline))

    async def embed(self, model: str, texts: Sequence[str], *, deadline: float | None) -> Embedded:
        """See ``Service.embed``."""
        self._check(model)
        message = messages.EmbedMessage(number=next(self._numbers), model=model, texts=tuple(texts))
        entry = PendingRequest(
            message=message, model=model, priority=0, tokens=estimated_tokens(texts)
        )
        return cast(Embedded, await self._result(entry, deadline))

    async def swap(self, model: str, adapter: Path) -> int:
        """See ``Service.swap``. EngineLostError where the engine dies of it."""
        self._check(model)
        if not (adapter / ADAPTER_CONFIG).is_file():
            raise DataError(f"{adapter} is no adapter: it has no {ADAPTER_CONFIG}")
        old = self._load.specs[model]
        copied = await asyncio.to_thread(self._kept.copy, model, adapter)
        try:
            self._check(model)  # the engine may have died meanwhile
        except RankerError:
            self._kept.drop(model, copied)
            raise
        source = replace(old.model, name=str(copied), base=cast(Path, old.model.weights))
        spec = replace(old, model=source, template=self._models[model].template)
        message = messages.SwapMessage(number=next(self._numbers), model=model, spec=spec)
        result = asyncio.get_running_loop().create_future()
        self._swaps[message.number] = message, result
        self._send(message)
        # The engine swaps even where the caller gives up, and we have to know of it.
        found = cast(ModelInfo, await asyncio.shield(result))
        log(logging.INFO, "swapped", {"model": model, "adapter": str(adapter)})
        return found.version

    def stats(self) -> Stats:
        """See ``Service.stats``."""
        queued_jobs, queued_tokens = self._admission.queued
        told = self._past + self._counters
        return Stats(
            queued_jobs=queued_jobs,
            queued_tokens=queued_tokens,
            running_jobs=self._admission.running_jobs,
            engine_batches=told.batches,
            engine_questions=told.questions,
            engine_restarts=self._restarts,
            cache_hits=told.cache_hits,
            cache_misses=told.cache_misses,
            cache_bytes=told.cache_bytes,
            versions={name: info.version for name, info in self._models.items()},
        )

    async def drain(self) -> None:
        """See ``Service.drain``."""
        self._draining = True
        while self._admission.entries:
            self._idle.clear()
            await self._idle.wait()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self._engine.end()
        self._kept.close()

    def _check(self, model: str, passages: Sequence[object] = ()) -> None:
        if self._draining:
            raise DrainingError("the server is shutting down")
        if self._lost:
            raise EngineLostError("the engine died and is being started again")
        if model not in self._models:
            raise DataError(f"there is no model {model!r}: use one of {', '.join(self._models)}")
        most = self._models[model].max_passages
        if most is not None and len(passages) > most:
            raise DataError(f"{model} ranks {most} documents at once, not {len(passages)}")

    async def _result(self, entry: PendingRequest, deadline: float | None) -> messages.Result:
        self._admission.admit(entry)
        self._let_in()
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                return await entry.result
        except TimeoutError:
            raise DeadlineError("the deadline passed before the ranking was done") from None
        finally:
            self._withdraw(entry.message.number)

    def _let_in(self) -> None:
        for entry in self._admission.let_in():
            self._send(entry.message)

    def _send(self, message: object) -> None:
        self._silence.asked()
        self._engine.send(message)

    def _withdraw(self, number: int) -> None:
        """Nobody waits for this any more; nothing where it is done."""
        if (entry := self._admission.leave(number)) is not None:
            if entry.running:
                self._send(messages.CancelRequest(number=number))
            self._after_leaving()

    def _after_leaving(self) -> None:
        self._let_in()
        if not self._admission.entries:
            self._idle.set()

    async def _watch(self) -> None:
        """Hand out what the engine says, and start another when it is gone."""
        while True:
            try:
                while True:
                    self._take(await self._engine.receive())
            except (EOFError, OSError):
                self._fail_all()
                await self._engine.end()
                await self._restart()

    async def _end_silence(self) -> None:
        """An engine that hangs is killed, which ``_watch`` notices."""
        while True:
            await self._silence.too_long()
            log(logging.ERROR, "engine hangs", {"pid": self._engine.pid})
            self._engine.kill()

    def _take(self, told: messages.EngineUpdate) -> None:
        self._counters = told.counters
        for number, result in told.results.items():
            if number in self._swaps:
                self._swapped(*self._swaps.pop(number), result)
            elif (entry := self._admission.leave(number)) is not None:
                _settle(entry.result, result)
        self._silence.broken(more=bool(self._swaps or self._admission.running_jobs))
        self._after_leaving()

    def _swapped(
        self,
        swap: messages.SwapMessage,
        waiting: asyncio.Future[messages.Result],
        result: messages.Result,
    ) -> None:
        if isinstance(result, ModelInfo):
            self._models[swap.model] = self._kept.told(result)
            self._load = replace(
                self._load,
                specs={**self._load.specs, swap.model: swap.spec},
                versions={**self._load.versions, swap.model: result.version},
            )
        else:
            self._kept.drop(swap.model, Path(swap.spec.model.name))
        _settle(waiting, result)

    def _fail_all(self) -> None:
        self._lost = True
        self._silence.broken(more=False)
        self._past = replace(self._past + self._counters, cache_bytes=0)
        self._counters = messages.Counters()
        error = EngineLostError("the engine died with this query and is being started again")
        for number in list(self._admission.entries):
            if (entry := self._admission.leave(number)) is not None:
                _settle(entry.result, error)
        for swap, waiting in self._swaps.values():
            self._swapped(swap, waiting, error)
        self._swaps.clear()
        self._idle.set()

    async def _restart(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            log(logging.ERROR, "engine lost", {"pid": self._engine.pid, "again_in_s": pause})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            try:
                self._engine = await EngineProcess.started(self._load)
            except (RankerError, OSError) as error:  # out of memory, processes, descriptors
                log(logging.ERROR, "engine not started", {"error": str(error)})
                continue
            self._restarts += 1
            self._lost = False
            log(logging.INFO, "engine started", {"pid": self._engine.pid})
            return


def _settle(waiting: asyncio.Future[messages.Result], result: messages.Result) -> None:
    if waiting.done():  # cancelled just now
        return
    if isinstance(result, Exception):
        waiting.set_exception(result)
    else:
        waiting.set_result(result)
