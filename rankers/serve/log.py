"""The log: one JSON object a line, without texts of queries and documents unless asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

LOGGER = logging.getLogger("rlpost.serve")


class JsonLines(logging.Formatter):
    """``LOGGER.info(event, extra={"fields": {...}})`` -> ``{"time": ..., "event": ..., ...}``."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= record.__dict__.get("fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log(level: int, event: str, fields: Mapping[str, object]) -> None:
    """One line."""
    LOGGER.log(level, event, extra={"fields": fields})


def log_failure(id: str, error: Exception) -> None:
    """A line with the traceback, under the id that the client is told."""
    LOGGER.error("failed", exc_info=error, extra={"fields": {"id": id}})


def log_to(stream: TextIO) -> None:
    """Send our lines, and the HTTP server's warnings, to ``stream``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
