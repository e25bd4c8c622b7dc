"""The seam between the HTTP routes and the engine: jobs in, rankings out, and how it can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rankers.errors import BackendError, RankerError
from rankers.reranker.reranker import ScoreKind
from rankers.types import Passage, Query, Ranking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRequest:
    """One query to rank."""

    id: str
    """Of the request: in logs and in error answers."""
    model: str
    """A key of ``Service.models``."""
    query: Query
    passages: tuple[Passage, ...]
    priority: int = 0
    """Higher goes first; equal ones in the order of arrival."""
    deadline: float | None = None
    """On the clock of ``time.monotonic``."""
    keep_texts: bool = False
    """Whether the trace is to hold what the model wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What can be told about a served model."""

    name: str
    method: str
    model: str
    backend: str
    template: str
    score_kind: ScoreKind
    embeds: bool
    """Whether ``Service.embed`` takes it."""
    adapter: str | None = None
    """Folder of the adapter that answers now."""
    version: int = 0
    """Goes up with every adapter swapped in."""
    max_passages: int | None = None
    """Passages per job at most; None where only the limits of the server bound it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Embeddings of texts."""

    vectors: NDArray[np.float32]
    """(texts, dimensions)"""
    tokens: int
    """Read by the model, 0 where it does not report them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters and gauges of a service, for the metrics page."""

    queued_jobs: int = 0
    queued_tokens: int = 0
    running_jobs: int = 0
    engine_batches: int = 0
    """Engine calls since the start, over all restarts."""
    engine_questions: int = 0
    """Questions in those calls: divided by ``engine_batches``, the mean batch."""
    engine_restarts: int = 0
    cache_hits: int = 0
    """Document embeddings found in memory, and not found."""
    cache_misses: int = 0
    cache_bytes: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    """Of each model's adapter."""


class Service(Protocol):
    """Ranks jobs of many requests at once. Cancelling the awaiting task withdraws the job."""

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """By name; the first is the default."""

    @property
    def ready(self) -> bool:
        """Whether every model is loaded, the engine lives and no drain has begun."""

    async def rank(self, job: RankRequest) -> Ranking:
        """Raises a ServiceError, DataError for what cannot be ranked, BackendError, ScoreError."""

    async def embed(self, model: str, texts: Sequence[str], *, deadline: float | None) -> Embedded:
        """Embed documents; raises what ``rank`` raises."""

    async def swap(self, model: str, adapter: Path) -> int:
        """Answer with ``adapter`` from the next job on; returns the new version.

        Jobs under way finish on the old one. DataError where the adapter does not fit, and the
        old one stays.
        """

    def stats(self) -> Stats:
        """Now."""

    async def drain(self) -> None:
        """Take no more jobs, finish those there are, stop the engine."""


class ServiceError(RankerError, RuntimeError):
    """Base of the refusals below, none of which says anything about a ranking."""


class QueueFullError(ServiceError):
    """No room for this job now; ``retry_after`` seconds from now there may be."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(ServiceError):
    """The job was not done in time and has been withdrawn."""


class EngineLostError(ServiceError, BackendError):
    """The engine died with this job; it is being started again."""


class DrainingError(ServiceError):
    """The server is shutting down."""
