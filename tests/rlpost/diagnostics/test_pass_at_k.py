"""pass@k against exact arithmetic and enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb, isnan

import numpy as np
import pytest

from rlpost.diagnostics.pass_at_k import curve, disjoint, exact, unbiased


@pytest.mark.parametrize("k", [1, 2, 7, 10])
def test_unbiased_is_the_share_of_subsets_with_a_correct_sample(k: int) -> None:
    ours = unbiased(10, range(11), k=k)
    for correct in range(11):
        samples = [True] * correct + [False] * (10 - correct)
        subsets = list(combinations(samples, k))
        assert ours[correct] == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-15)


def test_unbiased_is_exact_for_many_samples() -> None:
    """The binomials of 512 samples have 150 digits; the product has none of them."""
    correct = np.array([0, 1, 3, 100, 511, 512])
    for k in (1, 32, 256, 512):
        exactly = [1 - Fraction(comb(512 - c, k), comb(512, k)) for c in correct.tolist()]
        np.testing.assert_allclose(
            unbiased(512, correct, k=k), [float(x) for x in exactly], rtol=1e-12
        )


@pytest.mark.parametrize("p", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 4, 16])
def test_its_expectation_is_the_exact_value(p: float, k: int) -> None:
    """Over all numbers of correct samples that 16 draws can give."""
    chances = [comb(16, c) * p**c * (1 - p) ** (16 - c) for c in range(17)]
    assert np.dot(chances, unbiased(16, range(17), k=k)) == pytest.approx(
        exact([p], k=k)[0], abs=1e-14
    )


def test_exact_keeps_small_chances() -> None:
    np.testing.assert_allclose(exact([0.0, 1e-18, 0.5, 1.0], k=2), [0.0, 2e-18, 0.75, 1.0])


def test_unequal_numbers_of_samples() -> None:
    np.testing.assert_allclose(unbiased([2, 4], [1, 1], k=2), [1.0, 0.5])


def test_disjoint_by_hand() -> None:
    """Batches {0, 1}, {2, 3}; the fifth sample is left over."""
    correct = [[1, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    mean, spread = disjoint(correct, k=2)
    assert mean == 0.25
    assert spread == pytest.approx(np.std([0.5, 0.0], ddof=1))
    mean, spread = disjoint(correct, k=5)
    assert mean == 1.0
    assert isnan(spread)


def test_disjoint_and_unbiased_agree_in_the_mean() -> None:
    rng = np.random.default_rng(0)
    correct = rng.random((400, 64)) < rng.random((400, 1)) ** 3
    for k in (1, 8, 32):
        estimate = unbiased(64, correct.sum(axis=1), k=k).mean()
        assert disjoint(correct, k=k)[0] == pytest.approx(estimate, abs=0.02)


def test_the_curve_has_an_interval_over_prompts() -> None:
    one, four = curve(8, [0, 0, 8, 8], ks=(1, 4))
    assert (one.k, one.mean, four.mean) == (1, 0.5, 0.5)
    assert one.ci95 == (0.0, 1.0)
    assert curve(8, [3, 3], ks=(1,))[0].ci95 == pytest.approx((3 / 8, 3 / 8))


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_numbers_that_cannot_be_are_refused(samples: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="need"):
        unbiased(samples, [correct], k=k)
    if 0 <= correct <= samples:
        with pytest.raises(ValueError, match="needs 1 <= k <= 4"):
            disjoint([[True] * samples], k=k)
