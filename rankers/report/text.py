"""Tables and numbers as text: console, Markdown, JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rankers.files.atomic import write_text
from rankers.report.tables import printable


def duration(seconds: float) -> str:
    """``7s``, ``3:05`` or ``2:03:05``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minute}:{second:02}" if minute else f"{second}s"


def markdown(table: list[list[str]]) -> str:
    """Rows, the first of them the header, as a Markdown table."""
    head, *body = [[_in_markdown(cell) for cell in row] for row in table]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *body])


def _in_markdown(cell: str) -> str:
    text = re.sub(r"([\\|*`])", r"\\\1", printable(cell))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def write_json(value: dict[str, Any], path: str) -> None:
    """Plain values as JSON, into a file or, for ``-``, to standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if path == "-":
        print(text, end="")
    else:
        write_text(Path(path), text)
