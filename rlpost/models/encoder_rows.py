"""A ranking problem for a bi-encoder as one sequence of token ids.

The query's row and the rows of its candidates, parted by ``BREAK``: so it travels, is packed and
is scored like any other prompt. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Row = tuple[int, ...]
"""The tokens of one text, the model's own special tokens included."""

BREAK = -1
"""No tokenizer has it."""


def join_rows(rows: Iterable[Sequence[int]]) -> Row:
    """The rows as one sequence; ``split_rows`` takes it apart."""
    parted = [token for row in rows for token in (BREAK, *row)]
    return tuple(parted[1:])


def split_rows(token_ids: Sequence[int]) -> list[Row]:
    """The rows of a problem: the query's, then the candidates'."""
    rows: list[list[int]] = [[]]
    for token in token_ids:
        if token == BREAK:
            rows.append([])
        else:
            rows[-1].append(token)
    return [tuple(row) for row in rows]
