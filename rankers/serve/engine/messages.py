"""What server and engine process say to each other, and how it goes over their socket.

Pickled: both ends are ours, and nothing of a request is ever unpickled.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, BinaryIO

from rankers.backends.load import LoadedBackend
from rankers.methods.by_name import Built, RerankerSpec
from rankers.serve.engine.service import Embedded, ModelInfo, RankRequest
from rankers.types import Ranking

Build = Callable[[RerankerSpec, LoadedBackend | None], Built]
"""``rankers.methods.by_name.build``, or what a test has instead; importable by name."""

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadMessage:
    """To the engine, first: the models by name."""

    specs: Mapping[str, RerankerSpec]
    versions: Mapping[str, int]
    """Of the adapters in ``specs``."""
    build: Build
    cache_bytes: int
    questions: int
    """In one call at most."""
    log_texts: bool = False
    """Whether the log may hold texts of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMessage:
    """To the engine: a query. ``number`` is never used twice, over all engines of a server."""

    number: int
    job: RankRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedMessage:
    """To the engine: texts."""

    number: int
    model: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapMessage:
    """To the engine: another adapter."""

    number: int
    model: str
    spec: RerankerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """To the engine: nobody waits for this any more."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReady:
    """To the server: all models are there."""

    models: Mapping[str, ModelInfo]


Result = Ranking | Embedded | ModelInfo | Exception
"""Of Rank, Embed and Swap, or what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Of an engine, since its start."""

    batches: int = 0
    questions: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUpdate:
    """To the server: results by number, if any; after every call of the engine and withdrawal."""

    results: Mapping[int, Result] = field(default_factory=dict)
    counters: Counters


def framed_message(message: object) -> bytes:
    """A message as it goes over the socket."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


def read_message(stream: BinaryIO) -> Any:
    """The next message. Raises EOFError where the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return pickle.loads(content)


async def receive_message(stream: asyncio.StreamReader) -> Any:
    """The next message. Raises EOFError or OSError where the other side is gone."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return pickle.loads(await stream.readexactly(length))
