"""A list of titles, read once: which title stands at which rank, and which tokens wrote it.

Reward and token credit both come from this one reading, so no intro line, blank line, malformed
line or trailing newline can move the reward of one title to the tokens of another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from rlpost.tasks.recommendation.title_key import title_key
from rlpost.types import Segment

if TYPE_CHECKING:
    from tokenizers import Tokenizer

YEAR = re.compile(r"[(\uff08]\s*+(\d{4})\s*+[)\uff09]")
UNFINISHED = "\ufffd"
"""What decoding shows for bytes that are no character, or not yet."""
MARKS = " \t*_\"'`\u201c\u201d|"
"""What may stand around a title, in Markdown or quotes."""
DECORATION = re.compile(
    rf"\s*(?:[-*\u2022\u2013\u2014>|]\s+)?[{MARKS}]*"
    r"(?:(?:\(\d{1,2}\)|\d{1,3}[.)])(?=\s|[^\W\d])|\[\d{1,3}\](?=\s)|#\d{1,3}[.:](?=\s)|\d{1,2}:(?=\s)"
    r"|\d{1,2}\s+[-\u2013|](?=\s)|\d{1,2}\t|[Rr]ank \d{1,3}[.:](?=\s)|[\u2460-\u2473])?"
    rf"[{MARKS}]*"
)
"""A list marker, a number and the marks around them."""


class Title(NamedTuple):
    """A work as people name it."""

    name: str
    year: int

    @property
    def key(self) -> tuple[str, int]:
        """Equal for spellings that differ in case, accents, spaces or punctuation."""
        return title_key(self.name), self.year

    def __str__(self) -> str:
        return f"{self.name} ({self.year})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TitleList:
    """What a completion lists."""

    titles: tuple[Title, ...]
    """Lines of the form "Title (Year)", in order; other lines have no place in the list."""
    segments: tuple[Segment, ...]
    """Side by side, covering all tokens of the completion."""
    tidy: bool
    """It ended by itself after exactly as many titles as asked, and held nothing else."""


def read_title(line: str) -> Title | None:
    """The title on a line "Title (Year)", perhaps numbered, quoted or followed by other text."""
    start = DECORATION.match(line).end()  # type: ignore[union-attr]
    year = YEAR.search(line, start + 1)
    name = line[start : year.start()].rstrip().rstrip(MARKS) if year else ""
    return Title(name, int(year[1])) if year else None


def pieces(token_ids: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """The text that each token adds to the ones before it; special tokens add none.

    A token that ends inside a character adds nothing: the token that completes it adds it all.
    """
    found: list[str] = []
    # What a token adds depends on its neighbour (spaces, bytes of a character): decode from the
    # token before, not from the start. Bytes that are no text never raise, unlike in DecodeStream.
    start = read = 0
    for end in range(1, len(token_ids) + 1):
        before = tokenizer.decode(token_ids[start:read])
        after = tokenizer.decode(token_ids[start:end])
        whole = len(after) > len(before) and not after.endswith(UNFINISHED)
        found.append(after[len(before) :] if whole else "")
        if whole:
            start, read = read, end
    return found


def read_list(pieces_T: Sequence[str], *, ended: bool, length: int) -> TitleList:
    """Titles, ranks and segments of a completion whose tokens add ``pieces_T``.

    ``ended``: the last token ends the turn and is a segment of its own. ``length``: titles asked
    for. A title's tokens include the newlines and blank lines after it. Any other text, and titles
    beyond ``length``, have sign -1.
    """
    written_T = pieces_T[:-1] if ended else pieces_T
    titles: list[Title] = []
    ranks: list[int | None] = []  # of each block of lines
    block_of_line: list[int] = []
    for line in "".join(written_T).split("\n"):
        title = read_title(line)
        if title is not None:
            ranks.append(len(titles))
            titles.append(title)
        elif line.strip() or not ranks:
            ranks.append(None)
        block_of_line.append(len(ranks) - 1)
    tokens = Counter(block_of_line[line] for line in _lines(written_T))
    segments = [
        Segment(tokens[block], rank, -1 if rank is None or rank >= length else 0)
        for block, rank in enumerate(ranks)
        if tokens[block]
    ]
    if ended:
        segments.append(Segment(1, None, _end_sign(len(titles), length)))
    strays = any(segment.rank is None for segment in segments[: -1 if ended else None])
    return TitleList(
        titles=tuple(titles),
        segments=tuple(segments),
        tidy=ended and len(titles) == length and not strays,
    )


def released_segments(pieces_T: Sequence[str], *, ended: bool, length: int) -> tuple[Segment, ...]:
    """Segments as the released code of Rank-GRPO cuts them: a token's rank is the newlines before.

    So an intro line fills rank 0, a blank line uses one up, and after a trailing newline the end of
    the turn counts as a title too many. That end shares the ratio of the last title.
    """
    ranks_T = [min(before, length) for before in _newlines_before(pieces_T)]
    segments = [
        Segment(len(list(run)), rank, -1 if rank == length else 0)
        for rank, run in groupby(ranks_T[:-1] if ended else ranks_T)
    ]
    if ended and ranks_T[-1] == length:
        joins = bool(segments) and segments[-1].rank == length
        segments.append(Segment(1, length, -1, joins))
    elif ended:
        joins = bool(segments) and segments[-1].rank == ranks_T[-1]
        segments.append(Segment(1, None, _end_sign(ranks_T[-1] + 1, length), joins))
    return tuple(segments)


def _lines(pieces_T: Sequence[str]) -> Iterator[int]:
    """The line of each token: that of the first character it adds, line ends before it aside."""
    for before, piece in zip(_newlines_before(pieces_T), pieces_T, strict=True):
        blank = piece[: len(piece) - len(piece.lstrip())]
        yield before + (blank.count("\n") if piece.strip() else 0)


def _newlines_before(pieces_T: Sequence[str]) -> Iterator[int]:
    count = 0
    for piece in pieces_T:
        yield count
        count += piece.count("\n")


def _end_sign(titles: int, length: int) -> int:
    """Of ending the turn after so many titles."""
    return (titles == length) - (titles < length)
