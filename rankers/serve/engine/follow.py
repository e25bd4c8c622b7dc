"""A served model follows a training run: newer adapters are swapped in as they appear."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from rankers.errors import DataError
from rankers.serve.engine.service import Service
from rankers.serve.log import log

EVERY_S = 2.0


async def follow(
    service: Service, model: str, newest: Callable[[], Path | None], *, every_s: float = EVERY_S
) -> None:
    """Ask ``newest`` for an adapter, for ever, and swap it in where it is another one.

    One that the model does not take is logged and not tried again; ``newest`` may read files and
    raise, which is logged too.
    """
    refused: set[Path] = set()
    while True:
        await asyncio.sleep(every_s)
        if not service.ready:
            continue
        found: Path | None = None
        try:
            found = await asyncio.to_thread(newest)
            if found is None or found in refused:
                continue
            if str(found) != service.models[model].adapter:
                await service.swap(model, found)
        except Exception as error:
            log(logging.WARNING, "not swapped", {"model": model, "error": str(error)})
            if found is not None and isinstance(error, DataError):
                refused.add(found)
