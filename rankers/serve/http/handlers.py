"""From a checked request to a ranking: model, limits, job, deadline, and a client that hangs up."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request

from rankers.backends.rerank_api import DEGRADED
from rankers.errors import BackendError
from rankers.serve.engine.service import ModelInfo, RankRequest, Service
from rankers.serve.http.errors import CLIENT_GONE, Refusal
from rankers.serve.http.metrics import ServerMetrics
from rankers.serve.http.relevance import relevance
from rankers.serve.http.schemas.base import Control, Extension, ExtensionAnswer, TraceAnswer
from rankers.serve.settings import Settings
from rankers.types import Passage, Query, Ranking

T = TypeVar("T")
MOST_AT_ONCE = 64
"""Queries of a request that are in the queue together: one of many pairs leaves room for others."""

LAST_PRIORITY = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedAnswer:
    """A ranking in the terms of the APIs."""

    model: ModelInfo
    ranking: Ranking
    relevance: tuple[float, ...]
    """From 0 to 1, aligned with ``ranking.order``."""

    def top(self, n: int | None = None, *, raw: bool = False) -> list[tuple[int, float]]:
        """Index and relevance of the ``n`` best, or of all; ``raw``: scores as the method gives
        them, where it gives any.
        """
        scores = self.ranking.scores if raw and self.ranking.scores else self.relevance
        return list(zip(self.ranking.order, scores, strict=True))[:n]

    def told(self, extension: Extension | None) -> ExtensionAnswer | None:
        """What the request's extension asks to know."""
        if extension is None:
            return None
        trace = self.ranking.trace
        return ExtensionAnswer(
            score_kind=self.model.score_kind if self.ranking.scores else "rank",
            scores=list(self.ranking.scores),
            degraded=trace.degraded,
            version=self.model.version,
            trace=TraceAnswer.of(trace),
            reasoning=list(trace.texts) if extension.explain else None,
        )

    def warnings(self) -> list[str]:
        """For clients to show."""
        failures = self.ranking.trace.failures
        if not failures:
            return []
        return [f"{DEGRADED} {failures} questions: part of the order is the input's"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingHandlers:
    """What the routes of one application work with."""

    service: Service
    settings: Settings
    metrics: ServerMetrics

    def model(self, name: str | None) -> ModelInfo:
        """By name or alias; the first where none is given.

        Refusal 404, listing the names; 503 before any is loaded.
        """
        models = self.service.models
        if not models:
            raise Refusal(503, "the models are being loaded", retry_after="1")
        if name is None:
            return next(iter(models.values()))
        found = self.settings.aliases.get(name, name)
        if found not in models:
            names = ", ".join(models)
            raise Refusal(
                404,
                f"there is no model {name!r:.200}: use one of {names}",
                logged=f"there is no such model: there are {names}",
            )
        return models[found]

    def check(self, query: str, texts: Sequence[str], *, named: str) -> None:
        """Refusal 422 for what is beyond the limits; ``named``: the field of ``texts``."""
        self.check_query(query, named="query")
        self.check_texts(texts, named=named)

    def check_query(self, query: str, *, named: str) -> None:
        """See ``check``."""
        most = self.settings.limits.query_chars
        if len(query) > most:
            raise Refusal(422, f"{named}: {len(query):,} characters, {most:,} allowed", field=named)

    def check_texts(self, texts: Sequence[str], *, named: str) -> None:
        """See ``check``."""
        most = self.settings.limits.document_chars
        for i, text in enumerate(texts):
            if len(text) > most:
                raise Refusal(
                    422,
                    f"{named}.{i}: {len(text):,} characters, {most:,} allowed",
                    field=f"{named}.{i}",
                )

    async def rank(
        self,
        request: Request,
        model: ModelInfo,
        problems: Sequence[tuple[str, Sequence[str]]],
        control: Control | None,
        *,
        priority: int | None = None,
    ) -> list[RankedAnswer]:
        """Rank the texts of each query; the jobs are withdrawn when the client hangs up."""
        control = control or Control()
        told = request.state.log
        told |= {"model": model.name, "documents": sum(len(texts) for _, texts in problems)}
        if self.settings.log_documents:
            told["problems"] = problems
        jobs = [
            RankRequest(
                id=request.state.id,
                model=model.name,
                # Seeds are drawn from it: the same question has the same answer.
                query=Query(id=hashlib.blake2b(query.encode()).hexdigest()[:16], text=query),
                passages=tuple(Passage(id=str(i), text=text) for i, text in enumerate(texts)),
                priority=-_place(priority if control.priority is None else control.priority),
                deadline=self.deadline(request, control),
                keep_texts=isinstance(control, Extension) and control.explain,
            )
            for query, texts in problems
        ]
        turns = asyncio.Semaphore(min(MOST_AT_ONCE, self.settings.limits.queue_jobs))
        return await unless_gone(
            request,
            all_of([self._ranked(job, model, turns, strict=control.strict) for job in jobs]),
        )

    async def _ranked(
        self, job: RankRequest, model: ModelInfo, turns: asyncio.Semaphore, *, strict: bool
    ) -> RankedAnswer:
        async with turns:
            ranking = await self.service.rank(job)
        degraded = ranking.trace.degraded
        self.metrics.ranked(model.name, len(job.passages), degraded=degraded)
        if strict and degraded:
            raise BackendError(f"no answer to {ranking.trace.failures} questions")
        scores = relevance(ranking, model.score_kind)
        return RankedAnswer(model=model, ranking=ranking, relevance=scores)

    def deadline(self, request: Request, control: Control) -> float:
        """On the clock of ``time.monotonic``: the server's, or an earlier one asked for."""
        seconds = self.settings.limits.deadline_s
        if control.deadline_ms is not None:
            # The integer may be one that no float can hold: it is compared, not divided.
            seconds = min(1000 * seconds, control.deadline_ms) / 1000
        started: float = request.state.started
        return started + seconds


def _place(priority: int | None) -> int:
    """Nobody goes before those who asked for nothing."""
    return min(max(priority or 0, 0), LAST_PRIORITY)


async def all_of(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; the first failure cancels the rest and is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client hangs up (Refusal 499)."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refusal(CLIENT_GONE, "the client hung up")
    finally:
        working.cancel()
        watching.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
