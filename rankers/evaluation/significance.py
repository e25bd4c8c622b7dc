"""Is the difference between two systems real? Paired over queries: interval, tests, correction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MultipleTesting = Literal["bonferroni", "holm"]

_TIE = 1e-9
"""Smaller differences are rounding: the same ranking in another order of summation."""
_CHUNK_CELLS = 4_000_000  # so that resampling 7,000 queries 10,000 times stays below 100 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """System minus baseline over the same queries."""

    mean: float
    ci95: tuple[float, float]
    """Paired bootstrap percentile interval of the mean difference."""
    t: float
    p: float
    """Two-sided p of the paired t-test; 1 where all differences are 0."""
    p_randomised: float
    """Two-sided p of the sign-flipping randomisation test."""
    wins: int
    ties: int
    losses: int


def compare(
    baseline: Mapping[str, float],
    system: Mapping[str, float],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedComparison:
    """Compare per-query values of two systems. Raises ValueError unless the queries are the same.

    The result depends on the order of the queries through the random draws alone, so queries are
    taken in sorted order.
    """
    if set(baseline) != set(system) or not baseline:
        raise ValueError(
            f"need the same queries on both sides, got {len(baseline)} and {len(system)} "
            f"with {len(set(baseline) & set(system))} in common"
        )
    differences = [system[query] - baseline[query] for query in sorted(baseline)]
    t, p = paired_t_test(differences)
    return PairedComparison(
        mean=math.fsum(differences) / len(differences),
        ci95=bootstrap_interval(differences, resamples=resamples, seed=seed),
        t=t,
        p=p,
        p_randomised=randomisation_test(differences, resamples=resamples, seed=seed),
        wins=sum(d > _TIE for d in differences),
        ties=sum(abs(d) <= _TIE for d in differences),
        losses=sum(d < -_TIE for d in differences),
    )


def paired_t_test(differences: Sequence[float]) -> tuple[float, float]:
    """t and two-sided p of the mean difference; (0, 1) where all differences are 0.

    Fewer than two queries say nothing: (0, 1).
    """
    import numpy as np
    from scipy.stats import t as student

    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or not values.any():
        return 0.0, 1.0
    error = values.std(ddof=1) / np.sqrt(len(values))
    if error == 0:  # the same non-zero difference everywhere
        return float(np.copysign(np.inf, values[0])), 0.0
    t = float(values.mean() / error)
    return t, float(2 * student.sf(abs(t), len(values) - 1))


def bootstrap_interval(
    differences: Sequence[float],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the mean difference over queries drawn with replacement."""
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(0, len(values), (rows, len(values)))].mean(axis=1)
        for rows in _chunks(resamples, len(values))
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def randomisation_test(
    differences: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p: how often random signs give a mean at least as far from 0 as the observed one.

    Counts the observed assignment itself, so p is never 0 (Smucker et al., CIKM 2007).
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    rng = np.random.default_rng(seed)
    observed = abs(values.sum()) * (1 - 1e-12)  # a tie in exact arithmetic is a tie
    extreme = 0
    for rows in _chunks(resamples, len(values)):
        signs = rng.integers(0, 2, (rows, len(values))) * 2 - 1
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return (extreme + 1) / (resamples + 1)


def corrected(p_values: Sequence[float], method: MultipleTesting = "holm") -> list[float]:
    """p-values of several comparisons, adjusted for their number, in the given order."""
    m = len(p_values)
    if method == "bonferroni":
        return [min(1.0, p * m) for p in p_values]
    adjusted = [0.0] * m
    running = 0.0
    for position, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        running = max(running, min(1.0, p_values[i] * (m - position)))
        adjusted[i] = running
    return adjusted


def _chunks(resamples: int, num_queries: int) -> list[int]:
    """Row counts that add up to ``resamples``; the draws do not depend on the chunking."""
    rows = max(1, _CHUNK_CELLS // num_queries)
    full, rest = divmod(resamples, rows)
    return [rows] * full + ([rest] if rest else [])
