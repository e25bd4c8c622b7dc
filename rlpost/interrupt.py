"""Ctrl-C and SIGTERM, which Slurm, Kubernetes and ``timeout`` send: one way to end for both."""

from __future__ import annotations

import ctypes
import functools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_CODE = 130
"""Of an interrupted command, whichever signal it was."""
ONE_S = 1.0
"""Seconds within which signals count as one: ``timeout`` sends its own twice."""

LOOK_S = 0.2
"""How often the thread that waits for SIGTERM looks whether it is still wanted."""
_WAITER = "sigterm"

Arguments = ParamSpec("Arguments")


class StopRequest:
    """Set by the first signal, unless it is to raise KeyboardInterrupt as the second one does."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.requested = False
        self._at_once = at_once
        self._last = -ONE_S

    def raise_if_requested(self) -> None:
        if self.requested:
            raise KeyboardInterrupt

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last < ONE_S:
            return
        self._last = now
        if self.requested or self._at_once:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_on_signal(*, at_once: bool = False) -> Iterator[StopRequest]:
    """Inside, SIGINT and SIGTERM set the request. Only a main thread can be signalled.

    ``at_once``: they raise KeyboardInterrupt instead, as Ctrl-C alone would.
    """
    stop = StopRequest(at_once=at_once)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS}
    try:
        with _sigterm_as_sigint():
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _sigterm_as_sigint() -> Iterator[None]:
    """Inside, SIGTERM reaches the main thread as SIGINT, whatever handlers libraries put up.

    Ray's own handlers, one of them in C++, end the process at once. Here SIGTERM is blocked and a
    thread waits for it. Threads and processes made inside inherit that it is blocked, so that a
    SIGTERM to the whole process group leaves to us when Ray's processes end.
    """
    if any(thread.name == _WAITER for thread in threading.enumerate()):
        yield
        return
    main = threading.get_ident()
    done = threading.Event()

    def wait() -> None:
        while not done.is_set():
            if signal.sigtimedwait({signal.SIGTERM}, LOOK_S) is not None:
                signal.pthread_kill(main, signal.SIGINT)

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # The driver of a Ray job inherits it blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    waiter = threading.Thread(target=wait, name=_WAITER, daemon=True)
    waiter.start()
    try:
        yield
    finally:
        done.set()
        waiter.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def interruptible(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A command that Ctrl-C and SIGTERM end with exit code 130 and a sentence.

    The sentence is the text of the KeyboardInterrupt, where the command gave it one.
    """

    @functools.wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            with stop_on_signal(at_once=True):
                command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            print(str(interrupt) or "interrupted: start the command again", file=sys.stderr)
            raise SystemExit(EXIT_CODE) from None

    return wrapped


def end_with_parent() -> None:
    """For ``preexec_fn``: the process that starts is killed when the thread that started it ends,
    as when Ray kills a worker. Linux only; elsewhere nothing."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
