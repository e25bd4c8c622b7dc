"""What may be written down about an error: where it happened, and not what it says.

Messages quote what was being read, and here that is somebody's query or document.
"""

from __future__ import annotations

import traceback

from rankers.serve.engine.service import ServiceError

LEFT_OUT = "message left out: --log-documents shows it"


def reason(error: BaseException, *, texts: bool) -> str:
    """In a word or a sentence; ``texts``: whether it may hold those of requests.

    A ServiceError is our own and never quotes any.
    """
    if texts or isinstance(error, ServiceError):
        return str(error)
    kinds = dict.fromkeys(type(one).__name__ for one in _chain(error))
    return f"{' from '.join(kinds)} ({LEFT_OUT})"


def traced(error: BaseException, *, texts: bool) -> str:
    """Its traceback and those of its causes, the first cause first."""
    if texts:
        return "".join(traceback.format_exception(error)).rstrip()
    return "\ncaused\n".join(
        "".join(traceback.format_tb(one.__traceback__)) + f"{type(one).__qualname__}: ({LEFT_OUT})"
        for one in reversed(_chain(error))
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error, its cause, the cause of that ..."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found
