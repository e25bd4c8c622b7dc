"""How a request is refused: one exception, and its JSON in the shape of each API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as RoutingError
from starlette.responses import JSONResponse, Response

from rankers.errors import BackendError, DataError, RankerError
from rankers.serve.engine.service import (
    DeadlineError,
    DrainingError,
    EngineLostError,
    QueueFullError,
)
from rankers.serve.http.private import reason
from rankers.serve.http.schemas.foreign import LONGEST_NAME

Shape = Literal["cohere", "union", "tei", "openai"]
CLIENT_GONE = 499
"""nginx's status for a client that hung up: nobody reads it but the log."""
MOST_MISTAKES = 5
ARMS = frozenset({"str", "list[str]"})
"""What pydantic calls the arms of a union: no fields."""


class Refusal(HTTPException):
    """An answer that is no result.

    FastAPI's exception, because that is the only one it lets out of the reading of a body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        logged: str | None = None,
        **headers: str,
    ) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(status, message, names)
        self.field = field
        self.logged = message if logged is None else logged
        """The message without what the client wrote."""


def refusal(error: RankerError) -> Refusal:
    """What a failure of the service is over HTTP."""
    match error:
        case QueueFullError():
            return Refusal(429, str(error), retry_after=str(error.retry_after))
        case DeadlineError():
            return Refusal(504, str(error))
        case EngineLostError() | DrainingError():
            return Refusal(503, str(error), retry_after="1")
        case BackendError():  # a score that is no number, or no answer at all
            return Refusal(500, f"the model failed on this request: {error}")
        case DataError():
            return Refusal(422, str(error))
    return Refusal(500, str(error))


def invalid(error: RequestValidationError) -> Refusal:
    """A schema violation: every field by name, never its value (which may be a whole document)."""
    mistakes = [(_place(detail["loc"]), detail) for detail in error.errors()]
    told = [_line(place, detail) for place, detail in mistakes]
    logged = [_line(_known(place, detail), detail) for place, detail in mistakes]
    return Refusal(422, _first(told), field=mistakes[0][0], logged=_first(logged))


def _first(lines: list[str]) -> str:
    more = len(lines) - MOST_MISTAKES
    return "; ".join(lines[:MOST_MISTAKES]) + (f"; and {more} more" if more > 0 else "")


def _known(place: str, detail: Mapping[str, Any]) -> str:
    """``place`` without the name of an unknown field: the client wrote that."""
    if detail["type"] != "extra_forbidden":
        return place
    return ".".join([*place.split(".")[:-1], "(unknown)"])


def _place(location: Sequence[str | int]) -> str:
    """``("body", "documents", 3, "<object>", "text")`` -> ``documents.3.text``."""
    parts = [str(part)[:LONGEST_NAME] for part in location]
    named = [part for part in parts[1:] if not (part.startswith("<") or part in ARMS)]
    return ".".join(named or parts[:1])


def _line(place: str, detail: Mapping[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no such field"
    said = str(detail["msg"]).removeprefix("Value error, ")
    return said if place == "body" and detail["type"] == "value_error" else f"{place}: {said}"


def answer(error: Exception, request: Request) -> Response:
    """The error in the shape that the route's clients read, with the id of the request."""
    match error:
        case Refusal():
            refused = error
        case RequestValidationError():
            refused = invalid(error)
        case RankerError():
            refused = refusal(error)
        case RoutingError():  # no such route, or not this method
            refused = Refusal(error.status_code, str(error.detail), **dict(error.headers or {}))
        case _:
            refused = Refusal(500, "internal error: the log has it under this request's id")
    request.state.log["error"] = _logged(error, refused, texts=request.state.texts)
    body = SHAPES[request.state.shape](refused, request.state.id)
    return JSONResponse(body, refused.status_code, headers=refused.headers)


def _logged(error: Exception, refused: Refusal, *, texts: bool) -> str:
    if texts:
        return str(refused.detail)
    if isinstance(error, RankerError) or refused.status_code >= 500:
        return reason(error, texts=False) if error is not refused else refused.logged
    return refused.logged


def _cohere(error: Refusal, request_id: str) -> dict[str, Any]:
    return {"id": request_id, "message": error.detail}


def _openai(error: Refusal, request_id: str) -> dict[str, Any]:
    other = "BadRequestError" if error.status_code < 500 else "InternalServerError"
    kind = OPENAI_TYPES.get(error.status_code, other)
    inner = {
        "message": _with_id(error, request_id),
        "type": kind,
        "param": error.field,
        "code": error.status_code,
    }
    return {"error": inner}


def _union(error: Refusal, request_id: str) -> dict[str, Any]:
    return _cohere(error, request_id) | _openai(error, request_id)


def _tei(error: Refusal, request_id: str) -> dict[str, Any]:
    other = "Validation" if error.status_code < 500 else "Backend"
    kind = TEI_TYPES.get(error.status_code, other)
    return {"error": _with_id(error, request_id), "error_type": kind}


def _with_id(error: Refusal, request_id: str) -> str:
    """What is our fault is told with what finds it in the log."""
    return f"{error.detail} (request {request_id})" if error.status_code >= 500 else error.detail


SHAPES: Mapping[Shape, Callable[[Refusal, str], dict[str, Any]]] = {
    "cohere": _cohere,
    "union": _union,
    "tei": _tei,
    "openai": _openai,
}
OPENAI_TYPES: Mapping[int, str] = {
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}
TEI_TYPES: Mapping[int, str] = {429: "Overloaded", 503: "Unhealthy"}
