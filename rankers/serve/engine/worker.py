"""The engine process: holds the models, answers what comes over its socket, ends with its server.

``python -m rankers.serve.engine.worker FD``, started by ``rankers.serve.engine.process``.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

from rankers.backends.embedding_cache import CachedEmbedder
from rankers.backends.load import Need, with_adapter
from rankers.errors import BackendError, DataError, RankerError
from rankers.methods.by_name import METHODS, Built, RerankerSpec
from rankers.reranker.batcher import Batcher
from rankers.reranker.reranker import Reranker, TaskResult
from rankers.serve.engine import messages
from rankers.serve.engine.service import Embedded, ModelInfo, RankRequest
from rankers.serve.log import log_to
from rankers.types import Passage, Query

TRIED_OUT: tuple[Need, ...] = ("labels", "likelihood", "pairs")
"""Kinds of questions that one is asked at once: they are quick, and some models cannot answer."""
LOGGER = logging.getLogger("rlpost.serve.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that answers, and its queries under way."""

    spec: RerankerSpec
    built: Built
    info: ModelInfo
    running: Batcher[int, TaskResult]

    @property
    def cache(self) -> CachedEmbedder | None:
        """Its embedder, if it has one."""
        backend = self.built.engine.backend
        return backend if isinstance(backend, CachedEmbedder) else None


class EngineWorker:
    """Everything that one engine process does, message by message and call by call."""

    def __init__(
        self, load: messages.LoadMessage, tell: Callable[[messages.EngineUpdate], None]
    ) -> None:
        """Loads the models. Raises RankerError where one cannot be."""
        self._load = load
        self._tell = tell
        self._served = {name: self._loaded(name, spec) for name, spec in load.specs.items()}
        self._leaving: list[Served] = []
        """Models that were swapped out and have queries under way."""
        self._batches = self._questions = 0

    @property
    def models(self) -> dict[str, ModelInfo]:
        """By name."""
        return {name: served.info for name, served in self._served.items()}

    @property
    def busy(self) -> bool:
        """Whether a query is under way."""
        return any(served.running for served in self._all)

    @property
    def _all(self) -> list[Served]:
        return [*self._leaving, *self._served.values()]

    def take(self, message: object) -> None:
        """Do what the server says; results that are there at once are told at once."""
        match message:
            case messages.RankMessage():
                self._join(message.number, message.job)
            case messages.CancelRequest():
                for served in self._all:
                    served.running.drop(message.number)
                self._send({})
            case messages.EmbedMessage():
                self._told(message.number, lambda: self._embedded(message))
            case messages.SwapMessage():
                self._told(message.number, lambda: self._swapped(message))

    def turns(self, between: Callable[[], None]) -> None:
        """One call for each model with open questions; ``between`` them, others may join."""
        for served in self._all:
            running = served.running
            if running:
                calls, questions = running.calls, running.questions
                ended = running.turn()
                self._batches += running.calls - calls
                self._questions += running.questions - questions
                self._send({number: _result(result) for number, result in ended.items()})
                between()
        self._leaving = [served for served in self._leaving if served.running]

    def _join(self, number: int, job: RankRequest) -> None:
        served = self._served[job.model]
        work = served.built.reranker.work(
            job.query, job.passages, strict=False, keep_texts=job.keep_texts
        )
        served.running.join(number, work)

    def _embedded(self, message: messages.EmbedMessage) -> Embedded:
        served = self._served[message.model]
        if served.cache is None:
            raise DataError(f"{message.model} ({served.info.method}) has no embeddings")
        prompt = served.built.passage_prompt
        vectors = served.cache.embed_as("passage", message.texts, prompt=prompt)
        return Embedded(vectors=vectors, tokens=0)

    def _swapped(self, message: messages.SwapMessage) -> ModelInfo:
        old = self._served[message.model]
        adapter = message.spec.model.adapter
        try:
            engine = adapter and with_adapter(old.built.engine, adapter)
            built = self._load.build(message.spec, engine or None)
        except Exception as error:
            LOGGER.warning("%s kept its adapter", message.model, exc_info=error)
            raise DataError(
                f"{message.model} does not take the adapter {adapter}: {error}"
            ) from error
        new = self._made(message.model, message.spec, built, old.info.version + 1)
        self._leaving.append(old)
        self._served[message.model] = new
        return new.info

    def _told(self, number: int, doing: Callable[[], messages.Result]) -> None:
        try:
            result = doing()
        except Exception as error:
            result = _sendable(error)
        self._send({number: result})

    def _send(self, results: Mapping[int, messages.Result]) -> None:
        caches = [served.cache for served in self._served.values() if served.cache]
        counters = messages.Counters(
            batches=self._batches,
            questions=self._questions,
            cache_hits=sum(cache.hits for cache in caches),
            cache_misses=sum(cache.misses for cache in caches),
            cache_bytes=sum(cache.kept_bytes for cache in caches),
        )
        self._tell(messages.EngineUpdate(results=results, counters=counters))

    def _loaded(self, name: str, spec: RerankerSpec) -> Served:
        try:
            built = self._load.build(spec, None)
            if spec.method in METHODS and METHODS[spec.method].needs in TRIED_OUT:
                try_out(built.reranker)
        except RankerError as error:
            raise type(error)(f"{name}: {error}") from error
        return self._made(name, spec, built, self._load.versions[name])

    def _made(self, name: str, spec: RerankerSpec, built: Built, version: int) -> Served:
        served = Served(
            spec=spec,
            built=built,
            info=info_of(name, spec, built, version),
            running=Batcher(self._load.questions),
        )
        if served.cache is not None:
            served.cache.max_bytes = self._load.cache_bytes
        return served


def try_out(reranker: Reranker) -> None:
    """Ask something: what a model can never answer is told before anybody asks.

    Raises RankerError where it cannot. The first question is also slower than the others.
    """
    passages = [Passage(id="0", text="Sort a list."), Passage(id="1", text="Open a file.")]
    reranker.rank(Query(id="", text="open a file"), passages, strict=True)


def info_of(name: str, spec: RerankerSpec, built: Built, version: int) -> ModelInfo:
    """What can be told about a loaded model."""
    method = METHODS.get(spec.method)
    # One prompt shows all passages, and was given room for so many.
    whole = (
        method is not None
        and "window" not in method.options
        and method.answer_tokens(2) > method.answer_tokens(1)
    )
    return ModelInfo(
        name=name,
        method=spec.method,
        model=str(spec.model.weights),
        backend=built.backend,
        template=built.template,
        score_kind=built.reranker.score_kind,
        embeds=isinstance(built.engine.backend, CachedEmbedder),
        adapter=None if spec.model.adapter is None else str(spec.model.adapter),
        version=version,
        max_passages=spec.depth if whole else None,
    )


def _result(ended: TaskResult | Exception) -> messages.Result:
    if isinstance(ended, Exception):
        return _sendable(ended)
    return ended.failure if ended.failure and ended.unanswered else ended.ranking


def _sendable(error: Exception) -> RankerError:
    """``error`` as one that survives the socket, and, where it is not the client's, in the log."""
    if not isinstance(error, DataError):
        LOGGER.error("a query failed", exc_info=error)
    if isinstance(error, RankerError):
        return error
    return BackendError(f"{type(error).__name__}: {error}")


def _log_the_end(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    LOGGER.critical("the engine ends", exc_info=(kind, error, where))


def _reading(stream: BinaryIO, inbox: queue.SimpleQueue[object]) -> None:
    """Keep the socket empty, so that the server never waits for a call of the engine to end."""
    try:
        while True:
            inbox.put(messages.read_message(stream))
    except (EOFError, OSError):
        os._exit(0)  # the server is gone, and with it everybody who waits for an answer


def main(descriptor: int) -> None:
    """Serve the socket of this number until its other end closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # theirs is the server, which then drains us
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    stream = connection.makefile("rb")
    load: messages.LoadMessage = messages.read_message(stream)
    log_to(sys.stderr, texts=load.log_texts)
    sys.excepthook = _log_the_end
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    # Before the models are loaded: that takes minutes, and the server may be gone by then.
    threading.Thread(target=_reading, args=(stream, inbox), daemon=True).start()
    try:
        worker = EngineWorker(load, lambda told: connection.sendall(messages.framed_message(told)))
    except Exception as error:
        connection.sendall(messages.framed_message(_sendable(error)))
        return
    connection.sendall(messages.framed_message(messages.EngineReady(models=worker.models)))
    waiting: deque[object] = deque()

    def take_what_came() -> None:
        """All but the embeddings beyond the first: those are calls too, and take turns."""
        while True:
            while not inbox.empty():
                waiting.append(inbox.get())
            if not waiting:
                return
            message = waiting.popleft()
            if not isinstance(message, messages.EmbedMessage):
                worker.take(message)
            elif messages.CancelRequest(number=message.number) not in waiting:
                worker.take(message)
                return

    while True:
        if not (worker.busy or waiting):
            waiting.append(inbox.get())
        take_what_came()
        worker.turns(between=take_what_came)


if __name__ == "__main__":
    main(int(sys.argv[1]))
