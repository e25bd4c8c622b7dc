"""Signals around Ray, which takes SIGTERM for itself and whose processes share our group."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rlpost.interrupt import StopRequest, stop_on_signal

__all__ = ["StopRequest", "signals_kept", "stop_on_signal"]


@contextmanager
def signals_kept() -> Iterator[None]:
    """Start or join Ray inside: our handler of SIGTERM stays, and Ray's processes ignore SIGTERM.

    Ray installs a handler in Python, and one in C++ that aborts the process. Its processes are in
    our process group, to all of which ``timeout`` and Slurm send the signal: they inherit that it
    is blocked, so that they live to write the checkpoint. They end by SIGKILL with their driver.
    A SIGTERM that comes inside is handled afterwards.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
