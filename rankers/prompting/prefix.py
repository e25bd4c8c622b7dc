"""The beginning of a text that is all a model will read of it: a tokenizer takes seconds for a
megabyte, and everybody else waits.
"""

from __future__ import annotations

from collections.abc import Callable

CHARS_PER_TOKEN = 8
"""Twice what is usual: one look is enough for most texts."""
GROWTH = 4
MARGIN = 16
"""Tokens at the end of a beginning may be others than they are inside the whole."""


def beginning(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """A beginning of ``text`` with more than ``tokens`` tokens as ``count`` counts them, or all of
    it where that has no more.

    Reads no more than it must: white space and the like may hold a hundred characters a token.
    """
    chars = CHARS_PER_TOKEN * (tokens + MARGIN)
    while chars < len(text):
        start = text[:chars]
        if count(start) > tokens + MARGIN:
            return start
        chars *= GROWTH
    return text
