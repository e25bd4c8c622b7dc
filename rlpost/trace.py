"""Who was busy when: spans of every actor, as a Chrome trace (opens in ui.perfetto.dev)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlpost.durable import disk_trouble, write_text

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
        """Continues an existing trace, keeping what a killed writer left readable."""
        self._path = path
        self._threads: dict[str, int] = {}
        spans = read_spans(path)
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
            file.write(text.encode())


def read_spans(path: Path) -> list[Span]:
    """Every span in ``path``, up to the line at which a writer was killed; [] without a file."""
    if not path.is_file():
        return []
    names: dict[int, str] = {}
    spans = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip().rstrip(",")
        if text in ("[", "]", ""):
            continue
        try:
            event = json.loads(text)
        except json.JSONDecodeError:
            break
        if event["ph"] == "M":
            names[event["tid"]] = event["args"]["name"]
        else:
            start = event["ts"] / 1e6
            end = start + event["dur"] / 1e6
            spans.append(Span(name=event["name"], actor=names[event["tid"]], start=start, end=end))
    return spans
