"""The driver against the single-process specification, and with learning and sampling overlapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import Diary, loop_records, small_spec
from workers.driver import open_run
from workers.spec import Resources

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.mark.parametrize("rollout_workers", [1, 2])
def test_max_lag_0_equals_the_loop_bit_for_bit(tmp_path: Path, rollout_workers: int) -> None:
    diary = Diary()
    spec = small_spec(tmp_path / "run", resources=Resources(rollout_workers=rollout_workers))
    with open_run(spec, diary.observers) as driver:
        driver.train()
    expected = loop_records(tmp_path / "loop")
    assert [record.groups for record in diary.records] == [r.groups for r in expected]
    for record, reference in zip(diary.records, expected, strict=True):
        assert record.step == reference.step
        assert {name: record.metrics[name] for name in reference.metrics} == reference.metrics
