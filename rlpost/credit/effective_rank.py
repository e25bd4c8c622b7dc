"""Effective rank: how many directions a set of row vectors spreads over.

exp of the entropy of the normalised singular values (Roy and Vetterli 2007), between 1 and the
rank. One number for three uses:

- Hidden states of a response (VERL, arXiv 2509.23808): ``response_dynamics``.
- Embeddings (RankMe, arXiv 2210.02885): ``effective_rank(embeddings, centre=False)``, or a
  ``RowStream`` where they arrive in batches; a falling value is dimensional collapse.
- Gradients: a weight's gradient matrix, or one flattened gradient per sample as rows, with
  ``centre=False``.

Singular values come from the smaller Gram matrix. Squaring halves the digits, and a common offset
of the rows takes the rest: so all is float64, and an offset goes off before the Gram matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class RankDynamics(NamedTuple):
    """Effective rank of a response, and how it grows as the response goes on."""

    rank: float
    velocity: float
    """Mean over prefixes of the rank minus the mean rank of all shorter prefixes."""
    acceleration: float
    """Mean change of that difference from one prefix to the next."""


def effective_rank(rows_N_D: Tensor, *, centre: bool = True) -> float:
    """Effective rank of N rows in D dimensions; 0 when the rows do not vary at all.

    ``centre`` takes the mean row off first: the spread around the mean instead of around 0. Costs
    O(N D min(N, D)). Raises ValueError unless the rows are a finite matrix.
    """
    _check(rows_N_D)
    rows, columns = rows_N_D.shape
    if rows > columns:
        stream = RowStream(centre=centre)
        stream.add(rows_N_D)
        return stream.effective_rank()
    return _of_gram(_centred(_gram(_from_first(rows_N_D))) if centre else _gram(rows_N_D))


class RowStream:
    """Effective rank of rows that arrive in batches: keeps a [D, D] matrix, never the rows."""

    def __init__(self, *, centre: bool = True) -> None:
        self._centre = centre
        self._count = 0

    def add(self, rows_N_D: Tensor) -> None:
        """Take in N >= 0 more rows. Raises ValueError unless they are a finite matrix."""
        _check(rows_N_D)
        if not len(rows_N_D):
            return
        rows = rows_N_D.double()
        if not self._count:
            columns = rows.shape[1]
            self._origin = rows[0].clone() if self._centre else rows.new_zeros(columns)
            self._mean = rows.new_zeros(columns)
            self._scatter = rows.new_zeros(columns, columns)
        rows = rows - self._origin
        total = self._count + len(rows)
        if self._centre:
            # Chan, Golub and LeVeque (1983): merging scatters about their own means cancels
            # nothing.
            mean = rows.mean(dim=0)
            rows -= mean
            gap = mean - self._mean
            self._scatter.addr_(gap, gap, alpha=self._count * len(rows) / total)
            self._mean.add_(gap, alpha=len(rows) / total)
        self._scatter.addmm_(rows.T, rows)
        self._count = total

    def effective_rank(self) -> float:
        """Of all rows so far; 0 before the first."""
        return _of_gram(self._scatter) if self._count else 0.0


def prefix_effective_ranks(rows_T_D: Tensor, lengths_K: Sequence[int]) -> list[float]:
    """Centred effective rank of the first n rows, for each n of the ascending ``lengths_K``.

    Costs O(T D min(T, D)) for all Gram matrices together, and the eigenvalues of one
    [min(n, D), min(n, D)] matrix for each n. Raises ValueError unless the rows are a finite
    matrix.
    """
    _check(rows_T_D)
    columns = rows_T_D.shape[1]
    narrow = [n for n in lengths_K if n <= columns]
    # The first row is in every prefix: no prefix is far from it, measured by its own spread.
    gram = _gram(_from_first(rows_T_D[: max(narrow, default=0)]))
    ranks = [_of_gram(_centred(gram[:n, :n])) for n in narrow]
    stream, start = RowStream(), 0
    for n in lengths_K[len(narrow) :]:
        stream.add(rows_T_D[start:n])
        ranks.append(stream.effective_rank())
        start = n
    return ranks


def response_dynamics(
    hidden_T_D: Tensor, *, stride: int = 40, window: int | None = 512
) -> RankDynamics:
    """Rank, velocity and acceleration of one response (VERL, arXiv 2509.23808).

    ``hidden_T_D`` holds the final-norm state that predicts each of its T tokens. The rank is that
    of all of them. Prefixes have stride + 1, 2 stride + 1, ... of the last ``window`` tokens: with
    fewer than two prefixes velocity is 0, with fewer than three acceleration. Longer prefixes span
    more by counting alone, so compare velocities of responses of similar length.
    """
    recent = hidden_T_D if window is None else hidden_T_D[-window:]
    prefixes = range(stride + 1, len(recent) + 1, stride)
    if len(recent) == len(hidden_T_D):
        *ranks, rank = prefix_effective_ranks(recent, [*prefixes, len(recent)])
    else:
        ranks, rank = prefix_effective_ranks(recent, prefixes), effective_rank(hidden_T_D)
    return RankDynamics(rank, *growth(ranks))


def growth(values_K: Sequence[float]) -> tuple[float, float]:
    """(velocity, acceleration) of values along a sequence; 0 where there are too few."""
    gains = [values_K[k] - sum(values_K[:k]) / k for k in range(1, len(values_K))]
    velocity = sum(gains) / len(gains) if gains else 0.0
    acceleration = (gains[-1] - gains[0]) / (len(gains) - 1) if len(gains) > 1 else 0.0
    return velocity, acceleration


def _check(rows_N_D: Tensor) -> None:
    if rows_N_D.dim() != 2:
        raise ValueError(f"effective rank is that of a matrix, not of {tuple(rows_N_D.shape)}")
    if not rows_N_D.isfinite().all():
        raise ValueError("effective rank of rows with NaN or infinity is undefined")


def _gram(rows_N_D: Tensor) -> Tensor:
    """[N, N] inner products in float64."""
    rows = rows_N_D.double()
    return rows @ rows.T


def _from_first(rows_N_D: Tensor) -> Tensor:
    """The rows without their common part, exactly: equal rows become zeros."""
    rows = rows_N_D.double()
    return rows - rows[:1]


def _centred(gram_N_N: Tensor) -> Tensor:
    """The Gram matrix of the same rows after taking off their mean."""
    mean_N = gram_N_N.mean(dim=0)
    return gram_N_N - mean_N[:, None] - mean_N + mean_N.mean()


def _of_gram(gram: Tensor) -> float:
    eigenvalues = torch.linalg.eigvalsh(gram)
    if not len(eigenvalues) or eigenvalues[-1] <= 0:
        return 0.0
    # Rounding makes eigenvalues of this size out of zeros, and the square root enlarges them.
    floor = eigenvalues[-1] * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps
    singular = eigenvalues.where(eigenvalues > floor, 0).sqrt()
    return float(torch.special.entr(singular / singular.sum()).sum().exp())
