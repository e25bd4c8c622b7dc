"""Who was busy when: bars per actor, the gaps between them being the bubbles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankers.report import svg
from rlpost.tracking.trace import Span

KINDS = {
    "sample": svg.GENERATE,
    "evaluate": svg.GENERATE,
    "step": svg.LEARN,
    "score": svg.REWARD,
    "load": svg.SYNC,
    "publish": svg.SYNC,
    "canary": svg.SYNC,
}
"""Colour of a span by its name; any other name is drawn as ``other``."""

LEGEND = (
    ("sample", "--generate"),
    ("optimizer step", "--learn"),
    ("score", "--reward"),
    ("weights", "--sync"),
    ("other work", "--other"),
)
STEP = "step"
WAITING = frozenset({"put"})
"""Spans of waiting, not of work: a full queue lets its producers wait. They are left blank."""
STEPS_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The timeline as the page shows it."""

    seconds: float
    busy: list[tuple[str, float]]
    """Actor and the share of the run in which it worked, in order of appearance."""
    whole: str
    detail: str
    detail_s: float


def timeline(spans: Sequence[Span]) -> Timeline | None:
    """The whole run, and a few steps from its middle in detail; None without spans."""
    spans = [span for span in spans if span.name not in WAITING]
    if not spans:
        return None
    start, end = min(s.start for s in spans), max(s.end for s in spans)
    low, high = _middle_steps(spans, start, end)
    return Timeline(
        seconds=end - start,
        busy=[(a, busy_share(spans, a, start, end)) for a in actors(spans)],
        whole=_bars(spans, start, end, label="Work of every actor over the whole run"),
        detail=_bars(spans, low, high, label="Work of every actor over a few steps"),
        detail_s=high - low,
    )


def actors(spans: Sequence[Span]) -> list[str]:
    """Names in order of appearance."""
    return list(dict.fromkeys(span.actor for span in spans))


def busy_share(spans: Sequence[Span], actor: str, start: float, end: float) -> float:
    """Share of ``start .. end`` covered by the union of the actor's spans; 0 for no time at all."""
    covered, reach = 0.0, start
    for span in sorted((s for s in spans if s.actor == actor), key=lambda s: s.start):
        low, high = max(span.start, reach), min(span.end, end)
        if high > low:
            covered += high - low
            reach = high
    return covered / (end - start) if end > start else 0.0


def _middle_steps(spans: Sequence[Span], start: float, end: float) -> tuple[float, float]:
    """From the end of one optimizer step to the end of the fourth after it, mid-run."""
    ends = sorted(span.end for span in spans if span.name == STEP)
    if len(ends) <= STEPS_SHOWN:
        return start, end
    first = (len(ends) - STEPS_SHOWN) // 2
    return ends[first - 1] if first else start, ends[first + STEPS_SHOWN - 1]


def _bars(spans: Sequence[Span], start: float, end: float, *, label: str) -> str:
    names = actors(spans)
    axes = svg.axes(9.0, 0.55 + 0.3 * len(names))
    for row, actor in enumerate(names):
        for colour in dict.fromkeys([*KINDS.values(), svg.OTHER]):
            bars = [
                (max(span.start, start) - start, min(span.end, end) - max(span.start, start))
                for span in spans
                if span.actor == actor and KINDS.get(span.name, svg.OTHER) == colour
                if span.end > start and span.start < end
            ]
            merged = _merged(bars, gap=(end - start) / 1500)
            axes.broken_barh(merged, (row - 0.36, 0.72), facecolors=colour, linewidth=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, max(end - start, 1e-6))
    axes.grid(axis="x")
    axes.set_xlabel("seconds")
    return svg.inline(axes, label=label)


def _merged(bars: Sequence[tuple[float, float]], *, gap: float) -> list[tuple[float, float]]:
    """Join bars closer than the eye sees, so that a long run stays a small file."""
    joined: list[tuple[float, float]] = []
    for start, length in sorted(bars):
        if joined and start - sum(joined[-1]) < gap:
            first = joined[-1][0]
            joined[-1] = (first, max(sum(joined[-1]), start + length) - first)
        else:
            joined.append((start, length))
    return joined
