"""What a person sees: the live panel, plain lines where there is no terminal, the time left."""

import io

import pytest
from rich.console import Console

from rankers.report.text import duration
from rlpost.tracking.display import LiveDisplay, PlainDisplay, Progress, open_display, sparkline

METRICS = {"reward/mean": 0.512, "reward/part/ndcg": 0.6, "staleness/max": 1.0, "lr": 1e-4}


def run(console: Console) -> None:
    with open_display("demo", 2, console=console) as display:
        display.phase("loading engine")
        display.step(1, METRICS)
        display.note("before: [nDCG@10] 0.5")
        display.step(2, METRICS)


def test_plain_lines_without_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=False)
    assert isinstance(open_display("demo", 2, console=console), PlainDisplay)
    run(console)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("demo  loading engine ...")
    assert "step 1/2  reward 0.512  nDCG 0.600  lag 1" in lines[1]
    assert lines[2].endswith("before: [nDCG@10] 0.5")
    assert "\x1b" not in out.getvalue()


def test_one_panel_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    assert isinstance(open_display("demo", 2, console=console), LiveDisplay)
    run(console)
    last = out.getvalue().rpartition("rlpost")[2]
    assert "2/2" in last
    assert "0.512" in last
    assert "done" in last


def test_the_panel_says_that_a_run_stopped() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with pytest.raises(KeyboardInterrupt), open_display("demo", 2, console=console):
        raise KeyboardInterrupt
    assert "stopped" in out.getvalue()


def test_time_left_is_the_recent_pace_times_what_is_left() -> None:
    now = 0.0
    progress = Progress(100, clock=lambda: now)
    now = 50.0  # a slow first step: loading and compiling
    progress.advance(1)
    assert progress.eta_s is None
    for step in range(2, 21):
        now += 2.0
        progress.advance(step)
    assert progress.eta_s == pytest.approx(160.0)
    progress.advance(100)
    assert progress.eta_s is None


def test_sparkline() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 1.0], ascii_only=True) == " @"
    assert sparkline([1.0, 1.0]) == "\u2581\u2581"
    assert len(sparkline([float(i) for i in range(1000)])) == 40
    assert sparkline([0.0, 1.0]) == "\u2581\u2588"


def test_duration() -> None:
    assert [duration(s) for s in (0, 59.4, 60, 3599, 7385)] == [
        "0s",
        "59s",
        "1:00",
        "59:59",
        "2:03:05",
    ]
