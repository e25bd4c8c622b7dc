"""Sliding windows against rank_llm's schedules, and what every schedule must do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.methods.listwise import sliding_windows
from tests.rankers.golden import golden


def test_a_hundred_candidates_take_nine_windows() -> None:
    windows = sliding_windows(100)
    assert windows[:2] == [(80, 100), (70, 90)]
    assert windows[-1] == (0, 20)
    assert len(windows) == 9


def test_nothing_to_rank_takes_no_window() -> None:
    assert sliding_windows(0) == []


def test_schedules_are_rank_llms() -> None:
    for row in golden("window_schedules"):
        found = sliding_windows(row["n"], window=row["window"], step=row["stride"])
        assert [list(window) for window in found] == row["schedule_async"]
        assert len(found) == row["official_count"]


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40))
def test_every_candidate_is_seen_and_the_front_comes_last(n: int, window: int, step: int) -> None:
    step = min(step, window)
    windows = sliding_windows(n, window=window, step=step)
    assert {i for start, end in windows for i in range(start, end)} == set(range(n))
    assert windows[-1][0] == 0
    assert all(end - start <= window for start, end in windows)


@pytest.mark.parametrize(("window", "step"), [(0, 0), (10, 0), (10, 11), (5, -1)])
def test_impossible_windows_are_refused(window: int, step: int) -> None:
    with pytest.raises(ValueError, match="1 <= step <= window"):
        sliding_windows(30, window=window, step=step)
