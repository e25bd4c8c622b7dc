"""The HTTP server: uvicorn, with slow clients bounded and a shutdown in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import struct
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rankers.errors import DataError
from rankers.serve.log import log
from rankers.serve.settings import Limits, Settings

HEAD_BYTES = 64 * 1024
"""Of a request line with its headers."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n"
RESET = struct.pack("ii", 1, 0)
"""To linger for no time: unsent data is dropped, where the kernel would go on for minutes."""
AFTER_DEADLINE_S = 5
"""Beyond the deadline of the last request, before the drain gives up on it."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's, which would wait for ever for a head and let it grow for ever, and for a client to
    take its answer.

    A head must arrive within the keep-alive timeout and HEAD_BYTES; an answer must be taken within
    ``limits.answer_s``, and all of them together may hold so much memory.
    """

    _late: asyncio.TimerHandle | None = None
    _bytes: int = 0
    _untaken: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _whole: bool = True
    """Whether the last request has come to its end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # to be told of anything that is not taken
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._head_is_here()
        self._rest_is_here()
        self._taken()
        super().connection_lost(exc)

    @property
    def untaken(self) -> int:
        """Bytes of answers that the client has yet to take."""
        return self.transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """See ``asyncio.Protocol``: there are such bytes."""
        super().pause_writing()
        if self._untaken is None:
            self._untaken = self.loop.call_later(self._limits.answer_s, self.cut)
            self.config.app.state.outlet.wait(self)  # type: ignore[union-attr]

    def resume_writing(self) -> None:
        """See ``asyncio.Protocol``: there are none."""
        self._taken()
        super().resume_writing()

    def cut(self) -> None:
        """End the connection at once, and with it what the kernel holds of the answer."""
        log(logging.WARNING, "answer not taken", {"bytes": self.untaken})
        if (connection := self.transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None
            self.config.app.state.outlet.taken(self)  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        super().data_received(data)
        if self._late is not None:
            self._bytes += len(data)
            if self._bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()
        elif self._whole and self._is_idle:  # empty lines, which stop uvicorn's own clock
            self._await_head()

    def on_message_begin(self) -> None:
        """See ``HttpToolsProtocol``."""
        super().on_message_begin()
        self._whole = False
        if self._late is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """See ``HttpToolsProtocol``."""
        self._head_is_here()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See ``HttpToolsProtocol``."""
        super().on_message_complete()
        self._whole = True
        self._rest_is_here()

    def on_response_complete(self) -> None:
        """See ``HttpToolsProtocol``: a refusal may come before the body that it refuses."""
        super().on_response_complete()
        if not self._whole and self._rest is None:
            self._rest = self.loop.call_later(self._limits.body_s, self.transport.close)

    @property
    def _limits(self) -> Limits:
        limits: Limits = self.config.app.state.settings.limits  # type: ignore[union-attr]
        return limits

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _rest_is_here(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _await_head(self) -> None:
        self._bytes = 0
        self._late = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _head_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close_if_idle(self) -> None:
        if self._is_idle:
            self.transport.close()
        else:  # the head of a pipelined request: the one before it is still being answered
            self._await_head()


class DrainingServer(uvicorn.Server):
    """SIGTERM: /ready says 503 for ``drain_grace_s``, then no more connections, then the end.

    Ctrl-C does without the grace, a second one without waiting for requests under way.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_grace_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._grace_s = drain_grace_s
        self._leave_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See ``uvicorn.Server``, which would end the process by the same signal afterwards."""
        self._app.state.draining = True
        if sig == signal.SIGINT:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            self._leave_at = min(self._leave_at, time.monotonic() + self._grace_s)

    async def on_tick(self, counter: int) -> bool:
        """See ``uvicorn.Server``: called ten times a second."""
        return await super().on_tick(counter) or time.monotonic() >= self._leave_at


def listening(settings: Settings) -> socket.socket:
    """A socket on the address of ``settings``, taken before any model is loaded.

    Raises DataError, one sentence with the remedy, where it cannot be had.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named, asyncio turns Nagle's algorithm off: 40 ms per answer otherwise.
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        said = f"cannot listen on {where} ({reason}): choose another --port or --host"
        raise DataError(said) from None
    return taken


def server(app: FastAPI, settings: Settings) -> DrainingServer:
    """What answers requests until a signal comes, and then finishes those under way."""
    limits = settings.limits
    options: dict[str, Any] = {
        "http": BoundedProtocol,
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": limits.header_timeout_s,
        "timeout_graceful_shutdown": int(limits.deadline_s) + AFTER_DEADLINE_S,
    }
    return DrainingServer(uvicorn.Config(app, **options), app, limits.drain_grace_s)
