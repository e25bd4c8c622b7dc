"""The page: what the template shows, put into words and numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rankers.files.atomic import write_text
from rankers.files.jsonl import Record, damage_sentence
from rankers.report.text import duration
from rlpost.report.curves import CurveChart, charts
from rlpost.report.read import RunData, read_run_dir
from rlpost.report.timeline import LEGEND, timeline
from rlpost.report.uplift import uplift_chart
from rlpost.tracking.events import EVENTS

REPORT = "report.html"
MAX_EVENTS = 60
MAX_COMPLETIONS = 8
MAX_CHARS = 6000
ROUTINE_EVENTS = frozenset(
    {"policy_published", "canary_passed", "checkpoint_saved", "group_filtered"}
)
"""Counted, but not listed one by one."""


def write_report(run_dir: Path, *, say: Callable[[str], None] = lambda text: None) -> Path:
    """Write ``report.html`` from what ``run_dir`` holds by now. UserError when it is no run.

    ``say`` is told what is damaged and left out.
    """
    path = run_dir / REPORT
    run = read_run_dir(run_dir)
    if run.damaged:
        say(damage_sentence(run.damaged))
    write_text(path, render_report(run))
    return path


def render_report(run: RunData) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("rlpost.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, p_value=p_value, duration=duration, clipped=clipped)
    return environment.get_template("report.html.j2").render(
        run=run,
        status=status(run),
        verdict=verdict_panel(run.summary),
        damaged=damage_sentence(run.damaged),
        tiles=tiles(run),
        charts=[*charts(run.steps), *_present(uplift_chart(run.steps))],
        timeline=timeline(run.spans),
        legend=LEGEND,
        samples=[sample_panel(group) for group in run.samples],
        event_counts=Counter(event["kind"] for event in run.events).most_common(),
        events=listed_events(run.events),
        meanings=EVENTS,
    )


def status(run: RunData) -> str:
    """How the run stands, as far as its files tell."""
    if run.summary:
        return str(run.summary["status"])
    last = next((e["kind"] for e in reversed(run.events) if e["kind"].startswith("run_")), "")
    return {"run_failed": "failed", "run_interrupted": "interrupted"}.get(last, "unfinished")


def verdict_panel(summary: dict[str, Any] | None) -> str:
    """The outcome in one sentence; empty before the end."""
    if not summary or not summary["delta"]:
        return ""
    measure, delta = next(iter(summary["delta"].items()))
    before, after = summary["before"][measure], summary["after"][measure]
    low, high = delta["ci95"]
    change = "rose" if low > 0 else "fell" if high < 0 else "did not change measurably"
    untaught = summary.get("extra", {}).get("no_signal")
    return (
        f"{measure} {change}: {before:.4f} before, {after:.4f} after "
        f"({signed(delta['mean'])}, 95% interval {signed(low)} to {signed(high)}) "
        f"on {summary['num_queries']} held-out queries."
    ) + (f" But {untaught}." if untaught else "")


def tiles(run: RunData) -> list[tuple[str, str]]:
    """The headline figures."""
    found = [("steps", str(run.steps[-1]["step"] if run.steps else 0))]
    if run.steps:
        reward = run.steps[-1].get("reward/mean")
        found += [("reward, last step", f"{reward:.3f}")] if reward is not None else []
    if run.summary:
        seconds = run.summary["seconds"]
        found += [(stage.replace("_", " "), duration(value)) for stage, value in seconds.items()]
        found.append(("peak memory", f"{run.summary['peak_rss_mb'] / 1024:.1f} GB"))
    elif len(run.steps) > 1:
        found.append(("since step 1", duration(run.steps[-1]["time"] - run.steps[0]["time"])))
    return found


def sample_panel(group: Record) -> dict[str, Any]:
    """One group for reading: best completions first, the middle left out when there are many."""
    completions = sorted(group["completions"], key=lambda c: _or_least(c["reward"]), reverse=True)
    hidden = max(0, len(completions) - MAX_COMPLETIONS)
    if hidden:
        half = MAX_COMPLETIONS // 2
        completions = completions[:half] + completions[-half:]
    payload = group["payload"]
    return {
        **group,
        "completions": completions,
        "hidden": hidden,
        "payload": "" if payload is None else json.dumps(payload, ensure_ascii=False),
    }


def listed_events(events: Sequence[Record]) -> list[dict[str, str]]:
    """The newest events that are not routine, with the time since the first event."""
    if not events:
        return []
    start = events[0]["time"]
    rare = [event for event in events if event["kind"] not in ROUTINE_EVENTS]
    return [
        {
            "at": duration(max(0.0, event["time"] - start)),
            "kind": event["kind"],
            "fields": ", ".join(_fields(event)),
        }
        for event in rare[-MAX_EVENTS:]
    ]


def signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign; a dash where there is none."""
    return "-" if value is None else f"{value:+.{digits}f}"


def p_value(value: float) -> str:
    """``0.012``, or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def clipped(text: str) -> str:
    """The text, cut where it would drown the page."""
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[:MAX_CHARS]} ... ({len(text) - MAX_CHARS} more characters)"


def _present(chart: CurveChart | None) -> list[CurveChart]:
    return [] if chart is None else [chart]


def _fields(event: Record) -> Iterable[str]:
    return (f"{key} {value}" for key, value in event.items() if key not in ("time", "kind"))


def _or_least(reward: float | None) -> float:
    return float("-inf") if reward is None else reward
