"""Tables as text in which no name and no digit is ever cut, however narrow the terminal.

A pipe has no width: every row is one line there. On a terminal that is too narrow, columns go on
below, each block beside the names again, and long texts are folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.cells import cell_len, chop_cells
from rich.console import Console

GAP = "  "
NARROWEST = 8
"""Cells that a folded column has at least."""
_FIGURE = re.compile(r"[-+~<]?[0-9][0-9.,:/%e+-]*( \[[^\]]*\])?|-|failed|")


def print_table(
    console: Console,
    title: str,
    rows: Sequence[Sequence[object]],
    notes: Iterable[str] = (),
) -> None:
    """Title, header, rows and notes. The first column holds names, columns of figures are flush
    right."""
    width = console.width if console.is_terminal else None
    lines = [title] if title else []
    for line in [*lines, *table_lines(rows, width), *notes]:
        text = line.encode(console.encoding, "backslashreplace").decode(console.encoding)
        console.out(text, highlight=False)


def table_lines(rows: Sequence[Sequence[object]], width: int | None) -> list[str]:
    """The lines of a table whose first row is the header, none wider than ``width`` cells where
    its figures allow that."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    columns = [list(column) for column in zip_longest(*cells, fillvalue="")]
    widths = [max(map(cell_len, column)) for column in columns]
    blocks = [list(range(1, len(columns)))]
    if width is not None and sum(widths) + len(GAP) * (len(widths) - 1) > width:
        widths = _fitting(columns, widths, width)
        blocks = _blocks(widths, width)
    lines: list[str] = []
    for block in blocks:
        chosen = [0, *block]
        if lines:
            lines.append("")
        lines += _block([columns[i] for i in chosen], [widths[i] for i in chosen])
    return lines


def printable(text: str) -> str:
    """The text with line ends and other control characters spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fitting(columns: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> list[int]:
    """Widths of the columns: names have what the widest figure leaves, at most half of ``width``;
    texts have what is beside the names."""
    figures = [w for c, w in zip(columns[1:], widths[1:], strict=True) if _figures(c)]
    spare = width - len(GAP) - max(figures, default=0)
    names = min(widths[0], max(NARROWEST, min(width // 2, spare)))
    beside = max(NARROWEST, width - names - len(GAP))
    return [names] + [
        natural if _figures(column) else min(natural, beside)
        for column, natural in zip(columns[1:], widths[1:], strict=True)
    ]


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Numbers of the columns that stand beside one another; at least one in each block."""
    blocks: list[list[int]] = [[]]
    taken = widths[0]
    for number, needed in enumerate(widths[1:], 1):
        if blocks[-1] and taken + len(GAP) + needed > width:
            blocks.append([])
            taken = widths[0]
        blocks[-1].append(number)
        taken += len(GAP) + needed
    return blocks


def _block(columns: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    right = [number > 0 and _figures(column) for number, column in enumerate(columns)]
    lines = []
    for number, row in enumerate(zip(*columns, strict=True)):
        folded = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*folded, fillvalue=""):
            padded = [
                _padded(part, width, flush_right)
                for part, width, flush_right in zip(parts, widths, right, strict=True)
            ]
            lines.append(GAP.join(padded))
        if number == 0:
            lines.append(GAP.join("-" * width for width in widths))
    return lines


def _figures(column: Sequence[str]) -> bool:
    return all(_FIGURE.fullmatch(cell) for cell in column[1:])


def _folded(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` cells, broken at blanks where there are any."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width:
            lines[-1] = joined
            continue
        if not lines[-1]:
            lines.pop()
        lines += chop_cells(word, width)
    return lines


def _padded(text: str, width: int, flush_right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if flush_right else text + blanks
