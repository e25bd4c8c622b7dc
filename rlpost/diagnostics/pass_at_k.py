"""pass@k: the chance that one of k completions of a prompt is correct, and its estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rankers.evaluation.significance import bootstrap_interval

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """pass@k over a set of prompts."""

    k: int
    mean: float
    ci95: tuple[float, float]


def unbiased(num_samples_P: ArrayLike, num_correct_P: ArrayLike, *, k: int) -> Array:
    """1 - C(n - c, k) / C(n, k) for each prompt: every subset of k samples counts once.

    Chen et al., arXiv 2107.03374, eq. 1; ``num_samples_P`` may be one number for all. Raises
    ValueError unless 0 <= correct <= samples and 1 <= k <= samples.
    """
    correct_P = np.asarray(num_correct_P, dtype=np.int64)
    samples_P = np.broadcast_to(np.asarray(num_samples_P, dtype=np.int64), correct_P.shape)
    if np.any((correct_P < 0) | (correct_P > samples_P)):
        raise ValueError(f"need 0 <= correct <= samples, got {correct_P} of {samples_P}")
    if k < 1 or np.any(samples_P < k):
        raise ValueError(f"pass@{k} needs 1 <= k <= {samples_P.min(initial=k)} samples")
    # C(n - c, k) / C(n, k) = prod over k draws of the share of wrong samples among those left.
    drawn_K = np.arange(k)
    wrong_P_K = (samples_P - correct_P)[:, None] - drawn_K
    left_P_K = samples_P[:, None] - drawn_K
    missed_P: Array = np.prod(np.maximum(wrong_P_K, 0) / left_P_K, axis=1)
    return 1 - missed_P


def disjoint(correct_P_N: ArrayLike, *, k: int) -> tuple[float, float]:
    """The mean over disjoint batches of k samples, as arXiv 2506.02355 reports it, and its spread.

    ``correct_P_N`` [P, N]: whether each sample is correct. Batch b holds samples b k .. b k + k - 1
    of every prompt, samples left over are not used; the mean over prompts of a batch is one trial.
    The spread is the sample standard deviation over trials, NaN for a single one. Raises ValueError
    unless 1 <= k <= N.
    """
    correct = np.asarray(correct_P_N, dtype=bool)
    prompts, samples = correct.shape
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs 1 <= k <= {samples} samples")
    trials = samples // k
    solved_P_B = correct[:, : trials * k].reshape(prompts, trials, k).any(axis=2)
    means_B = solved_P_B.mean(axis=0)
    spread = float(means_B.std(ddof=1)) if trials > 1 else float("nan")
    return float(means_B.mean()), spread


def exact(probability_P: ArrayLike, *, k: int) -> Array:
    """1 - (1 - p)^k for each prompt whose chance p of a correct completion is known."""
    probabilities = np.asarray(probability_P, dtype=np.float64)
    with np.errstate(divide="ignore"):  # log1p(-1) is -inf, whose exp is the right 0
        passed_P: Array = -np.expm1(k * np.log1p(-probabilities))
    return passed_P


def curve(
    num_samples_P: ArrayLike,
    num_correct_P: ArrayLike,
    *,
    ks: Sequence[int],
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Estimate]:
    """``unbiased`` at each of ``ks``, with 95% intervals by bootstrap over prompts."""
    estimates = []
    for k in ks:
        passed_P = unbiased(num_samples_P, num_correct_P, k=k).tolist()
        ci95 = bootstrap_interval(passed_P, resamples=resamples, seed=seed)
        estimates.append(Estimate(k=k, mean=sum(passed_P) / len(passed_P), ci95=ci95))
    return estimates
