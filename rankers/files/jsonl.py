"""JSON lines that survive a crash: appended whole or not at all, read around what is damaged."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rankers.files.atomic import disk_trouble, write_text

Record = dict[str, Any]
Needs = Mapping[str, type | tuple[type, ...]]
"""Keys that a record must have, and the types of their values."""


class Recovered(NamedTuple):
    """What could be read of a file."""

    records: list[Record]
    damaged: int
    """Lines that are no record: torn by a kill or a full disk, or garbage."""


def append(path: Path, record: Mapping[str, object]) -> None:
    """Add one line, on a line of its own whatever the file ends with.

    A number that JSON does not know (nan, inf) becomes null. Where the disk fills up, nothing of
    the line stays.
    """
    data = (dumps(record) + "\n").encode("utf-8", "backslashreplace")
    with disk_trouble(path), path.open("a+b", buffering=0) as file:
        end = file.seek(0, io.SEEK_END)
        if end and _last_byte(file, end) != b"\n":
            data = b"\n" + data
        try:
            _write(file, data)
        except BaseException:
            with suppress(OSError):
                file.truncate(end)
            raise


def _write(file: io.FileIO, data: bytes) -> None:
    """All of ``data``: one call may write a part of it, and the next one say why."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _last_byte(file: io.FileIO, end: int) -> bytes:
    file.seek(end - 1)
    return file.read(1)


def read(path: Path, needs: Needs | None = None) -> list[Record]:
    """Every whole record that has what it ``needs``; [] where there is no file."""
    return recover(path, needs).records


def recover(path: Path, needs: Needs | None = None) -> Recovered:
    """As ``read``, with the number of lines that were left out."""
    if not path.is_file():
        return Recovered([], 0)
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    found = [_record(line, needs or {}) for line in lines]
    records = [record for record in found if record is not None]
    return Recovered(records, len(found) - len(records))


def keep(path: Path, wanted: Callable[[Record], bool], needs: Needs | None = None) -> int:
    """Drop damaged lines and every record that is not ``wanted``, atomically; how many lines were
    damaged."""
    if not path.is_file():
        return 0
    records, damaged = recover(path, needs)
    write_text(path, "".join(dumps(r) + "\n" for r in records if wanted(r)))
    return damaged


def dumps(record: Mapping[str, object]) -> str:
    """Strict JSON on one line; nan and infinities become null."""
    return json.dumps(_strict(record), ensure_ascii=False, allow_nan=False)


def _record(line: bytes, needs: Needs) -> Record | None:
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    whole = all(key in record and isinstance(record[key], kind) for key, kind in needs.items())
    return record if whole else None


def _strict(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def damage_sentence(damaged: Mapping[str, int]) -> str:
    """``2 damaged lines of events.jsonl are left out``; empty where there are none."""
    parts = [f"{n} damaged line{'s' * (n > 1)} of {name}" for name, n in damaged.items()]
    verb = "is" if sum(damaged.values()) == 1 else "are"
    return f"{', '.join(parts)} {verb} left out" if parts else ""
