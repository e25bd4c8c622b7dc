"""Our handler of SIGTERM around Ray, which puts up its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rlpost.interrupt import StopRequest, stop_on_signal

__all__ = ["StopRequest", "handler_kept", "stop_on_signal"]


@contextmanager
def handler_kept() -> Iterator[None]:
    """Start or join Ray inside: the handler of SIGTERM is afterwards what it was before.

    The default one is left to Ray, whose own ends its processes.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
