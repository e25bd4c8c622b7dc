"""Words of TREC lines: what separates them, and how an id with blanks is written as one.

trec_eval reads bytes and separates where C's ``isspace`` says so: a non-breaking space is part of
a word. Ids that are titles or paths may hold blanks: such an id is written percent-encoded behind
``%:`` (``Bread dough:2`` as ``%:Bread%20dough:2``), which no URL begins with. All others, with
percent signs or without, stand as they are.
"""

import re
from urllib.parse import quote, unquote

from rankers.errors import DataError

SPACE = " \t\n\v\f\r"
"""What C's ``isspace`` takes for white space."""
MARK = "%:"
_WORD = re.compile(f"[^{SPACE}]+")
_ENCODED = re.compile(f"[{SPACE}%]")


def words(line: str, where: str) -> list[str]:
    """The words of a line, as trec_eval reads them. DataError, beginning with ``where``: a NUL."""
    if "\0" in line:
        raise DataError(f"{where}: a NUL byte: the file is damaged, or not UTF-8")
    return _WORD.findall(line)


def checked_id(text: str, where: str) -> str:
    """``text``, which may be an id. DataError where it is empty, holds a control character, or
    begins or ends with a blank, which nobody would see."""
    if not text or text != text.strip(SPACE) or any(letter < " " for letter in text):
        raise DataError(
            f"{where}: {text!r} cannot be an id: it must be neither empty nor begin or end with a "
            "blank, and hold no tab, line end or other control character"
        )
    return text


def as_word(text: str) -> str:
    """An id as one word; ``as_id`` gives it back. Raises DataError on one that is empty."""
    if not text or "\0" in text:
        raise DataError(f"{text!r} cannot be an id: it must be neither empty nor hold a NUL")
    if not text.startswith(MARK) and not any(space in text for space in SPACE):
        return text
    return MARK + _ENCODED.sub(lambda found: quote(found[0]), text)


def as_id(word: str) -> str:
    """The id that ``as_word`` made a word of; any other word as it is."""
    return unquote(word.removeprefix(MARK)) if word.startswith(MARK) else word
