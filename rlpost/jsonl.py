"""JSON lines that survive a crash: appended one by one, readable with a torn last line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlpost.durable import disk_trouble, write_text

Record = dict[str, Any]


def append(path: Path, record: Mapping[str, object]) -> None:
    """Add one line. A number that JSON does not know (nan, inf) becomes null."""
    with disk_trouble(path), path.open("a", encoding="utf-8") as file:
        file.write(dumps(record) + "\n")


def read(path: Path) -> list[Record]:
    """Every complete record; [] where there is no file.

    A last line without its newline is what a killed writer leaves: it is skipped. Damage anywhere
    else raises ValueError with the line number.
    """
    if not path.is_file():
        return []
    *lines, _torn = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}") from None
    return records


def keep(path: Path, wanted: Callable[[Record], bool]) -> None:
    """Drop the torn last line and every record that is not ``wanted``, atomically."""
    if path.is_file():
        write_text(path, "".join(dumps(r) + "\n" for r in read(path) if wanted(r)))


def dumps(record: Mapping[str, object]) -> str:
    """Strict JSON on one line; nan and infinities become null."""
    return json.dumps(_strict(record), ensure_ascii=False, allow_nan=False)


def _strict(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value
