"""A served application on a real socket, in a thread, for clients that misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rankers.serve.engine.service import Service
from rankers.serve.http.app import create_app
from rankers.serve.http.server import listening, server
from rankers.serve.settings import Settings


@contextmanager
def serving(service: Service, settings: Settings) -> Iterator[int]:
    """The port of ``create_app(service, settings)``."""
    sock = listening(settings)
    running = server(create_app(service, settings), settings)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[sock])))
    thread.start()
    try:
        while not running.started:
            thread.join(0.005)
        yield sock.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join()
