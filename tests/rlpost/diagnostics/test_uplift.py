"""The uplift rate by hand, and how the counts of a run add up."""

from __future__ import annotations

import math

import pytest

from rlpost.diagnostics.uplift import pooled, uplift
from rlpost.tracking.metrics import metric


def test_by_hand() -> None:
    """Ranks 1, 0, 3, 2; the good completions are the likeliest, which falls, and the third."""
    found = uplift([[-2, -1, -9, -3]], [[-1, -1.5, -8, -2]], [[0, 1, 0, 1]])
    assert found.counted_B == (1, 0, 1, 0)
    assert found.raised_B == (0, 0, 1, 0)
    assert found.rates_B[0] == 0.0
    assert found.rates_B[2] == 1.0
    assert math.isnan(found.rates_B[1])


def test_good_is_above_the_mean_of_the_group() -> None:
    """Graded rewards, one that does not apply, and a group in which nothing is better."""
    before, after = [[-1, -2, -3]] * 2, [[-0.5] * 3] * 2
    found = uplift(before, after, [[0.9, 0.5, math.nan], [0.7] * 3])
    assert found.counted_B == (1, 0, 0)
    assert found.raised_B == (1, 0, 0)


def test_large_groups_share_bins_by_relative_rank() -> None:
    size = 32
    before = [[-float(i) for i in range(size)]]
    after = [[b + 1 if i < 16 else b for i, b in enumerate(before[0])]]
    found = uplift(before, after, [[1.0] * (size - 1) + [0.0]])
    assert found.counted_B == (4, 4, 4, 4, 4, 4, 4, 3)
    assert found.rates_B == pytest.approx((1, 1, 1, 1, 0, 0, 0, 0))


def test_steps_add_up_and_names_are_in_the_glossary() -> None:
    first = uplift([[-1, -2]], [[0, -3]], [[1, 0]])
    second = uplift([[-1, -2]], [[0, -3]], [[0, 1]])
    steps = [{"loss": 1.0}, first.metrics(), second.metrics()]
    total = pooled(steps)
    assert total is not None
    assert (total.raised_B, total.counted_B) == ((1, 0), (1, 1))
    assert pooled([{"loss": 1.0}]) is None
    for name in first.metrics():
        metric(name)
