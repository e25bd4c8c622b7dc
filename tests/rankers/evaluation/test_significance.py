"""Paired statistics against golden values, scipy, and exact enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rankers.evaluation.significance import (
    bootstrap_interval,
    compare,
    corrected,
    paired_t_test,
    randomisation_test,
)
from tests.rankers.golden import golden

DIFFERENCES = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=3, max_size=40)


def test_golden_comparison() -> None:
    case = golden("significance")
    queries = [f"{i:02}" for i in range(len(case["a"]))]
    found = compare(
        dict(zip(queries, case["a"], strict=True)), dict(zip(queries, case["b"], strict=True))
    )
    assert found.mean == pytest.approx(case["mean_diff"], abs=1e-9)
    assert found.t == pytest.approx(case["t"], abs=1e-6)
    assert found.p == pytest.approx(case["p"], abs=1e-6)
    assert found.ci95 == pytest.approx(case["bootstrap"]["ci95"], abs=1e-6)
    assert corrected([found.p] * 5, "bonferroni")[0] == pytest.approx(
        case["bonferroni_m5"], abs=1e-6
    )
    assert found.wins + found.ties + found.losses == len(queries)


@given(DIFFERENCES)
def test_t_is_scipys(differences: list[float]) -> None:
    if np.ptp(differences) > 0:
        expected = stats.ttest_1samp(differences, 0.0)
        assert paired_t_test(differences) == pytest.approx((expected.statistic, expected.pvalue))


def test_no_difference_and_the_same_difference_everywhere() -> None:
    assert paired_t_test([0.0, 0.0, 0.0]) == (0.0, 1.0)
    assert paired_t_test([0.5]) == (0.0, 1.0)
    assert paired_t_test([0.25, 0.25]) == (float("inf"), 0.0)
    assert randomisation_test([0.0, 0.0]) == 1.0


def test_random_signs_approach_exact_enumeration() -> None:
    differences = [0.3, 0.1, -0.05, 0.2, 0.15, 0.02]
    observed = abs(sum(differences)) - 1e-12
    flips = itertools.product((-1, 1), repeat=6)
    exact = np.mean([abs(np.dot(signs, differences)) >= observed for signs in flips])
    assert randomisation_test(differences, resamples=20_000) == pytest.approx(exact, abs=0.01)


def test_resampling_in_chunks_draws_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = list(np.random.default_rng(1).normal(0.1, 1.0, 37))
    whole = bootstrap_interval(differences), randomisation_test(differences)
    monkeypatch.setattr("rankers.evaluation.significance._CHUNK_CELLS", 1000)
    assert (bootstrap_interval(differences), randomisation_test(differences)) == whole


def test_corrections_by_hand() -> None:
    p_values = [0.01, 0.04, 0.03, 0.5]
    assert corrected(p_values, "holm") == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert corrected(p_values, "bonferroni") == pytest.approx([0.04, 0.16, 0.12, 1.0])
    assert corrected([]) == []


def test_swapping_the_systems_swaps_the_signs() -> None:
    a = {"q1": 0.1, "q2": 0.5, "q3": 0.3}
    b = {"q3": 0.3, "q2": 0.9, "q1": 0.2}
    ab, ba = compare(a, b), compare(b, a)
    assert ab.mean == pytest.approx(-ba.mean)
    assert ab.p == pytest.approx(ba.p)
    assert (ab.wins, ab.ties, ab.losses) == (2, 1, 0) == (ba.losses, ba.ties, ba.wins)


def test_different_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2 with 1 in common"):
        compare({"q1": 0.1}, {"q1": 0.1, "q2": 0.2})
