"""Who was busy when: spans of every actor, as a Chrome trace (opens in ui.perfetto.dev)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankers.files.atomic import disk_trouble, write_text

_EMPTY = "[\n]\n"
_END = "\n]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of work: ``actor`` did ``name`` from ``start`` to ``end`` (Unix seconds)."""

    name: str
    actor: str
    start: float
    end: float


class TraceLog:
    """Appends spans to ``trace.json``.

    Each goes in by one write over the closing bracket: between two writes the file is valid JSON.
    """

    def __init__(self, path: Path) -> None:
        """Continues an existing trace, keeping what is readable; ``damaged`` lines are left out."""
        self._path = path
        self._threads: dict[str, int] = {}
        spans, self.damaged = recover_spans(path)
        write_text(path, _EMPTY)
        for span in spans:
            self(span.name, span.actor, span.start, span.end)

    def __call__(self, name: str, actor: str, start: float, end: float) -> None:
        events: list[dict[str, Any]] = []
        if actor not in self._threads:
            self._threads[actor] = len(self._threads) + 1
            events.append(self._event("M", actor, name="thread_name", args={"name": actor}))
        microseconds = {"ts": round(start * 1e6), "dur": max(0, round((end - start) * 1e6))}
        events.append(self._event("X", actor, name=name, **microseconds))
        self._append(events)

    def _event(self, phase: str, actor: str, **fields: object) -> dict[str, Any]:
        return {"ph": phase, "pid": 1, "tid": self._threads[actor], **fields}

    def _append(self, events: Sequence[dict[str, Any]]) -> None:
        with disk_trouble(self._path), self._path.open("r+b", buffering=0) as file:
            tail = file.seek(-len(_END), 2)
            comma = "" if tail == len(_EMPTY) - len(_END) else ","
            text = comma + ",".join(f"\n{json.dumps(event)}" for event in events) + _END
            data = memoryview(text.encode())
            try:
                while data:
                    data = data[file.write(data) :]
            except BaseException:  # no room: the bracket fits where it stood
                file.seek(tail)
                file.write(_END.encode())
                file.truncate()
                raise


def read_spans(path: Path) -> list[Span]:
    """Every span in ``path`` on a whole line; [] without a file."""
    return recover_spans(path)[0]


def recover_spans(path: Path) -> tuple[list[Span], int]:
    """As ``read_spans``, with the number of damaged lines."""
    if not path.is_file():
        return [], 0
    names: dict[int, str] = {}
    spans, damaged = [], 0
    for line in path.read_bytes().split(b"\n"):
        text = line.strip().rstrip(b",")
        if text in (b"[", b"]", b"[]", b""):
            continue
        try:
            event = json.loads(text.decode())
            if event["ph"] == "M":
                names[event["tid"]] = str(event["args"]["name"])
            else:
                spans.append(_span(event, names))
        except (ValueError, LookupError, TypeError, RecursionError):
            damaged += 1
    return spans, damaged


def _span(event: Mapping[str, Any], names: Mapping[int, str]) -> Span:
    start = event["ts"] / 1e6
    end = start + event["dur"] / 1e6
    actor = names.get(event["tid"], f"actor {event['tid']}")  # its name's line may be damaged
    return Span(name=str(event["name"]), actor=actor, start=start, end=end)
