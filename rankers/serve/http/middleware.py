"""Around every request: its id, its key, its line in the log, its place in the metrics."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rankers.serve.http.auth import Keys
from rankers.serve.http.errors import Refusal, Shape, answer
from rankers.serve.http.metrics import ServerMetrics
from rankers.serve.log import log, log_failure

ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
ID_HEADER = "x-request-id"
PROBES = {"/health", "/ready", "/metrics"}
"""Asked every few seconds by machines: logged only when the answer is not 200."""
PATH_SHAPES: dict[str, Shape] = {
    "/v2/rerank": "cohere",
    "/v1/rerank": "union",
    "/rerank": "union",  # until the body turns out to be TEI's
}


class RequestMiddleware:
    """Middleware; nothing passes it unanswered or unlogged."""

    def __init__(
        self, app: ASGIApp, metrics: ServerMetrics, keys: Keys, *, texts: bool = False
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = keys
        self._texts = texts
        """Whether the log may hold texts of requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        given = request.headers.get(ID_HEADER, "")
        state = request.state
        state.started = time.monotonic()
        state.id = given if ID.fullmatch(given) else uuid.uuid4().hex
        state.shape = PATH_SHAPES.get(scope["path"], "openai")
        state.log, state.texts = {}, self._texts
        status = 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[ID_HEADER] = state.id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            self._keys.check(request)
            await self._app(scope, receive, tagged)
        except Refusal as refused:
            await answer(refused, request)(scope, receive, tagged)
        except Exception as error:
            log_failure(state.id, error)
            if status:
                raise  # the client sees a broken connection, not a whole answer
            await answer(error, request)(scope, receive, tagged)
        finally:
            self._note(scope, state.id, status, time.monotonic() - state.started, state.log)

    def _note(
        self, scope: Scope, id: str, status: int, seconds: float, fields: dict[str, Any]
    ) -> None:
        route = scope["route"].path if "route" in scope else "unmatched"
        self._metrics.answered(route, status, seconds)
        line = {
            "id": id,
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 2),
        }
        expected = route in PROBES and status == 200
        log(logging.DEBUG if expected else logging.INFO, "request", line | fields)
