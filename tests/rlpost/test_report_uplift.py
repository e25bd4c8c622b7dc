"""The chart of uplift by likelihood rank: from a run's records to the page."""

from __future__ import annotations

import re
from pathlib import Path

from rlpost.diagnostics.uplift import uplift
from rlpost.report import write_report
from rlpost.report.uplift import TITLE, uplift_chart
from rlpost.tracking.run_dir import RunDir
from tests.example_run import CONFIG


def test_a_run_that_recorded_it_shows_it(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    for step in (1, 2):
        found = uplift([[-1, -2, -3, -4]], [[-0.5, -2.5, -2.0, -4]], [[1, 1, 0, 1]])
        run.log_step(step, step, found.metrics())
    page = write_report(run.path).read_text()
    assert page.count(f"<h3>{TITLE}</h3>") == 1
    assert "share of 6 completions better than" in page
    (chart,) = re.findall(rf'<svg[^>]*aria-label="{TITLE}".*?</svg>', page, flags=re.DOTALL)
    assert "place among siblings" in chart


def test_a_run_that_did_not_has_no_such_chart() -> None:
    assert uplift_chart([{"step": 1, "reward/mean": 0.5}]) is None
    nothing_good = uplift([[-1, -2]], [[-1, -2]], [[1, 1]])
    assert uplift_chart([{"step": 1, **nothing_good.metrics()}]) is None
