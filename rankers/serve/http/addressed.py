"""Before every request: other spellings of a path, and HEAD where there is a GET."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAME: Mapping[str, str] = {
    "/reranking": "/rerank",  # llama.cpp's names
    "/v1/reranking": "/v1/rerank",
    "/embeddings": "/v1/embeddings",  # those of llama.cpp, TEI and Infinity
    "/models": "/v1/models",
    "/ping": "/health",
    "/live": "/health",
    "/healthz": "/health",
}
"""Paths that clients of other servers use -> ours."""


class Addressed:
    """Middleware: the path without a slash at its end and under our name for it.

    Nobody is redirected: that would be to the host that the request speaks of. HEAD is answered
    as GET is, without the body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path.endswith("/") and len(path) > 1:
            path = path[:-1]
        seen = {**scope, "path": SAME.get(path, path)}
        if scope["method"] != "HEAD":
            await self._app(seen, receive, send)
            return

        async def headless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**seen, "method": "GET"}, receive, headless)
