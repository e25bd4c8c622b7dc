"""The log: one JSON object a line, without texts of queries and documents unless asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from rankers.serve.http.private import traced

LOGGER = logging.getLogger("rlpost.serve")


class JsonLines(logging.Formatter):
    """``LOGGER.info(event, extra={"fields": {...}})`` -> ``{"time": ..., "event": ..., ...}``.

    ``texts``: whether lines may hold texts of requests. Without it, errors are logged without
    their messages, and lines of other libraries up to their first line break: asyncio's go on
    with the error.
    """

    def __init__(self, *, texts: bool = False) -> None:
        super().__init__()
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if self._texts else record.getMessage().split("\n")[0],
        }
        line |= record.__dict__.get("fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = traced(record.exc_info[1], texts=self._texts)
        return json.dumps(line, default=str)


def log(level: int, event: str, fields: Mapping[str, object]) -> None:
    """One line."""
    LOGGER.log(level, event, extra={"fields": fields})


def log_failure(id: str, error: Exception) -> None:
    """A line with the traceback, under the id that the client is told."""
    LOGGER.error("failed", exc_info=error, extra={"fields": {"id": id}})


def log_to(stream: TextIO, *, texts: bool = False) -> None:
    """Send our lines, and the warnings of HTTP server and event loop, to ``stream``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(texts=texts))
    others = [(logging.getLogger(name), logging.WARNING) for name in ("uvicorn", "asyncio")]
    for logger, level in ((LOGGER, logging.INFO), *others):
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
