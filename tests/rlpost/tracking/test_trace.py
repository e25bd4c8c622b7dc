"""The Chrome trace: valid JSON after every span, readable after a kill, continued on resume."""

import json
from pathlib import Path

from rlpost.tracking.trace import Span, TraceLog, read_spans


def span(name: str, actor: str, start: float, end: float) -> Span:
    return Span(name=name, actor=actor, start=start, end=end)


def test_it_is_valid_json_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = TraceLog(path)
    assert json.loads(path.read_text()) == []
    trace("generate", "rollout-0", 10.0, 12.5)
    assert len(json.loads(path.read_text())) == 2
    trace("learn", "learner", 12.5, 13.0)
    trace("generate", "rollout-0", 13.0, 15.0)
    events = json.loads(path.read_text())
    assert [event["ph"] for event in events] == ["M", "X", "M", "X", "X"]
    assert events[1] == {
        "ph": "X", "pid": 1, "tid": 1, "name": "generate", "ts": 10_000_000, "dur": 2_500_000
    }  # fmt: skip
    assert events[4]["tid"] == 1


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = TraceLog(path)
    spans = [span("generate", "rollout-0", 1.0, 2.0), span("learn", "learner [x], {y}", 2.0, 2.25)]
    for s in spans:
        trace(s.name, s.actor, s.start, s.end)
    assert read_spans(path) == spans
    assert read_spans(tmp_path / "absent") == []


def test_a_torn_trace_keeps_its_whole_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = TraceLog(path)
    trace("a", "x", 1.0, 2.0)
    trace("b", "y", 2.0, 3.0)
    path.write_text(path.read_text()[:-25])
    assert read_spans(path) == [span("a", "x", 1.0, 2.0)]

    resumed = TraceLog(path)
    resumed("c", "y", 4.0, 5.0)
    assert read_spans(path) == [span("a", "x", 1.0, 2.0), span("c", "y", 4.0, 5.0)]
    assert len(json.loads(path.read_text())) == 4
