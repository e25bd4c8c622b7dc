"""Reading a request: bounded in bytes, time and values, JSON only, one error for what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from rankers.serve.http.errors import CLIENT_GONE, Refusal
from rankers.serve.http.schemas.base import MOST_FIELDS
from rankers.serve.http.schemas.foreign import LONGEST_NAME
from rankers.serve.http.traffic import Arriving, Intake
from rankers.serve.settings import Limits

JSON_TYPE = "application/json"


class BoundedRequest(Request):
    """A request whose body is refused while it is read, not when it has filled the memory."""

    async def body(self) -> bytes:
        """All of it.

        Refusal: 413 when too big, 408 when too slow, 499 when broken off, 503 when it is the
        largest of more than all connections together may send at a time.
        """
        if not hasattr(self, "_body"):  # where Starlette keeps it
            limits: Limits = self.app.state.settings.limits
            intake: Intake = self.app.state.intake
            waiting = asyncio.timeout(limits.body_s)
            with intake.arriving(waiting) as arriving:
                try:
                    async with waiting:
                        self._body = await self._bounded(limits.body_bytes, arriving)
                except TimeoutError:
                    raise _late(limits, arriving) from None
                except ClientDisconnect:
                    raise Refusal(CLIENT_GONE, "the client hung up") from None
        return self._body

    async def _bounded(self, most: int, arriving: Arriving) -> bytes:
        announced = self.headers.get("content-length", "0")
        body = bytearray()
        if int(announced) <= most:  # the server has seen to it that it is a number
            async for chunk in self.stream():
                body += chunk
                if len(body) > most:
                    break
                arriving.add(len(chunk))
            else:
                return bytes(body)
        raise Refusal(
            413, f"the body is larger than the {most:,} bytes allowed", connection="close"
        )

    async def json(self) -> Any:
        """The body as JSON, strictly: no NaN, no lone surrogates, no bottomless nesting.

        Refusal 422 for more values than the schemas should have to look at.
        """
        try:
            found = from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise Refusal(422, f"body: not valid JSON: {error}", field="body") from None
        if isinstance(found, dict):
            if self.scope["path"] in ("/rerank", "/v1/rerank") and "texts" in found:
                self.state.shape = "tei"
            _check_sizes(found, self.app.state.settings.limits.documents)
        return found


class BoundedRoute(APIRoute):
    """A route that reads its requests so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See ``APIRoute``."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if request.method == "POST" and not _says_json(request):
                raise Refusal(422, f"send the body with the header 'Content-Type: {JSON_TYPE}'")
            if request.headers.get("content-encoding", "identity") != "identity":
                raise Refusal(422, "send the body as it is: without Content-Encoding")
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded


def _late(limits: Limits, arriving: Arriving) -> Refusal:
    if arriving.refused:
        said = "too much is being sent to this server at once, and this body is the largest"
        return Refusal(503, said, connection="close", retry_after="1")
    return Refusal(408, f"the body did not arrive within {limits.body_s:g} s", connection="close")


def _check_sizes(body: dict[str, Any], most: int) -> None:
    """Every list and object that a schema reads."""
    _check_fields("body", body)
    for key, value in body.items():
        name = key[:LONGEST_NAME]
        if isinstance(value, dict):
            _check_fields(name, value)
        elif isinstance(value, list):
            if len(value) > most:
                said = f"{len(value):,} given, {most:,} allowed"
                raise Refusal(422, f"{name}: {said}", field=name, logged=said)
            for i, item in enumerate(value):
                if isinstance(item, dict):
                    _check_fields(f"{name}.{i}", item)


def _check_fields(place: str, found: dict[str, Any]) -> None:
    if len(found) > MOST_FIELDS:
        said = f"{len(found):,} fields, {MOST_FIELDS} allowed"
        raise Refusal(422, f"{place}: {said}", field=place, logged=said)


def _says_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON_TYPE
