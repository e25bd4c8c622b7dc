"""What the OpenAPI document says that every POST route can answer besides its result."""

from __future__ import annotations

from typing import Any

STATUSES = {
    401: "No accepted key",
    404: "No such model; the message lists them",
    408: "The body did not arrive in time",
    413: "The body is too large",
    422: "A field is wrong; the message names it",
    429: "Too much to do already; the header Retry-After says when to try again",
    500: "The model failed",
    503: "The engine was lost, is loading or is being shut down; try again",
    504: "Not done before the deadline",
}


def errors(body: Any) -> dict[int | str, dict[str, Any]]:
    """The refusals, with the shape of their JSON."""
    return {status: {"model": body, "description": said} for status, said in STATUSES.items()}
