"""A small real service: ranks by shared words, and is slow, full, broken or gone when told."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rankers.errors import DataError
from rankers.reranker.reranker import ScoreKind
from rankers.serve.engine.service import (
    DeadlineError,
    DrainingError,
    Embedded,
    ModelInfo,
    QueueFullError,
    RankRequest,
    Stats,
)
from rankers.serve.settings import Limits, ModelSettings, Settings
from rankers.types import Ranking, Trace


def info(name: str, *, score_kind: ScoreKind = "logit", embeds: bool = False) -> ModelInfo:
    return ModelInfo(
        name=name,
        method="words",
        model=f"models/{name}",
        backend="hf",
        template="plain",
        score_kind=score_kind,
        embeds=embeds,
    )


@dataclass(kw_only=True)
class WordService:
    """Score of a passage: how many words of the query it has, less its share of other words."""

    models: Mapping[str, ModelInfo] = field(
        default_factory=lambda: {
            "words": info("words"),
            "order": info("order", score_kind="rank"),
            "vectors": info("vectors", score_kind="cosine", embeds=True),
        }
    )
    ready: bool = True
    delay_s: float = 0.0
    error: Exception | None = None
    failures: int = 0
    """Questions that every ranking reports as failed."""
    most_jobs: int = 1000
    running: int = 0
    drained: bool = False
    jobs: list[RankRequest] = field(default_factory=list)
    withdrawn: list[RankRequest] = field(default_factory=list)

    async def rank(self, job: RankRequest) -> Ranking:
        self.jobs.append(job)
        if self.drained:
            raise DrainingError("the server is shutting down")
        if self.running >= self.most_jobs:
            raise QueueFullError(f"{self.running} jobs are waiting", retry_after=7)
        self.running += 1
        try:
            await self._work(job)
        except asyncio.CancelledError:
            self.withdrawn.append(job)
            raise
        finally:
            self.running -= 1
        return self._ranking(job)

    async def _work(self, job: RankRequest) -> None:
        left = float("inf") if job.deadline is None else job.deadline - time.monotonic()
        await asyncio.sleep(max(min(self.delay_s, left), 0.0))
        if left < self.delay_s:
            raise DeadlineError("the deadline passed before the ranking was done")
        if self.error is not None:
            raise self.error

    def _ranking(self, job: RankRequest) -> Ranking:
        kind = self.models[job.model].score_kind
        wanted = words(job.query.text)
        values = [overlap(wanted, words(passage.text)) for passage in job.passages]
        if kind == "cosine":
            values = [value / (len(wanted) + 1) for value in values]
        order = tuple(sorted(range(len(values)), key=lambda i: -values[i]))
        n = len(order)
        scores = [float(n - place) for place in range(n)] if kind == "rank" else None
        return Ranking(
            order=order,
            scores=tuple(scores or (values[i] for i in order)),
            trace=Trace(
                calls=1,
                prompt_tokens=sum(len(passage.text.split()) for passage in job.passages),
                generated_tokens=2,
                malformed={"ok": 1},
                failures=self.failures,
                texts=(f"I read {n} passages",) if job.keep_texts else (),
            ),
        )

    async def embed(self, model: str, texts: Sequence[str], *, deadline: float | None) -> Embedded:
        digests = [hashlib.blake2b(text.encode(), digest_size=4).digest() for text in texts]
        vectors = np.array([list(digest) for digest in digests], dtype=np.float32)
        return Embedded(vectors=vectors, tokens=sum(len(text.split()) for text in texts))

    async def swap(self, model: str, adapter: Path) -> int:
        raise DataError(f"{model} takes no adapter, and {adapter} is one")

    def stats(self) -> Stats:
        return Stats(running_jobs=self.running, versions=dict.fromkeys(self.models, 0))

    async def drain(self) -> None:
        self.drained = True
        while self.running:
            await asyncio.sleep(0.01)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def overlap(wanted: set[str], found: set[str]) -> float:
    return len(wanted & found) - len(found - wanted) / (len(found) + 1)


def settings(*, limits: Limits | None = None, keys: Sequence[str] = (), **more: object) -> Settings:
    """Settings for the models of ``WordService``."""
    names = {"words": ("rerank-v3.5",), "order": (), "vectors": ()}
    return Settings.model_validate(
        {
            "models": [
                ModelSettings(name=name, aliases=aliases, method="words", model=name)
                for name, aliases in names.items()
            ],
            "limits": limits or Limits(),
            "keys": list(keys),
            **more,
        }
    )
