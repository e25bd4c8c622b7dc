"""All errors of `rankers`. Each takes one string, so that it survives pickling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RankerError(Exception):
    """Base of all errors of this package."""


class DataError(RankerError, ValueError):
    """Data given by the user are missing or malformed: where, the value, and the remedy."""


class EngineError(RankerError, RuntimeError):
    """An engine failed, or cannot run on this machine."""


class NoEngineError(EngineError, DataError):
    """The engine that was chosen is not installed, or not for this model; the message names the
    remedy.
    """


class BackendError(RankerError, RuntimeError):
    """A model backend failed to answer; says nothing about the quality of any answer."""


class ScoreError(BackendError):
    """A model gave a score that is no number: it is broken, and would be so in the next batch."""


@contextmanager
def backend_boundary(doing: str) -> Iterator[None]:
    """Turn any foreign exception raised inside into BackendError, saying what was being done."""
    try:
        yield
    except RankerError:
        raise
    except Exception as exc:
        raise BackendError(f"{doing}: {type(exc).__name__}: {exc}") from exc


class RlpostError(Exception):
    """Base of everything rlpost raises on purpose."""


class UserError(RlpostError, ValueError):
    """Bad input from the person who started the command."""


@contextmanager
def boundary(error: type[RlpostError], doing: str) -> Iterator[None]:
    """Turn any foreign exception raised inside into ``error``, saying what was being done."""
    try:
        yield
    except RlpostError:
        raise
    except Exception as exc:
        raise error(f"{doing}: {type(exc).__name__}: {exc}") from exc
