"""How much of a model an update changes: equal weights, overlap of changes, rank of the change.

After "RL finetunes small subnetworks" (arXiv 2505.11711). Its shares are of bfloat16 checkpoints,
in which a change below half a unit in the last place is gone; in float32 the same update may have
moved every weight. So a measure here always names its dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


def unchanged(before: Tensor, after: Tensor, *, dtype: torch.dtype, tolerance: float = 0.0) -> int:
    """Number of weights whose difference, taken in ``dtype``, is at most ``tolerance``."""
    delta = after.to(dtype) - before.to(dtype)
    return int((delta.abs() <= tolerance).sum())


def sparsity(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    *,
    dtype: torch.dtype,
    tolerance: float = 0.0,
) -> float:
    """Share of all weights that are ``unchanged``; a tensor at a time, whatever the model's size.

    Raises ValueError when the two have other names or shapes.
    """
    shapes, others = ({n: t.shape for n, t in m.items()} for m in (before, after))
    if shapes != others:
        name = sorted(set(shapes.items()) ^ set(others.items()))[0][0]
        raise ValueError(f"the two models differ in {name!r}: nothing can be compared")
    equal = sum(
        unchanged(tensor, after[name], dtype=dtype, tolerance=tolerance)
        for name, tensor in before.items()
    )
    return equal / sum(tensor.numel() for tensor in before.values())


class Overlap(NamedTuple):
    """Weights changed by two updates, as a share of those changed by one of them."""

    of_first: float
    of_second: float
    chance_of_first: float
    """Expected if each update had changed as many weights of each matrix, anywhere in it."""
    chance_of_second: float


def overlap(changes: Iterable[tuple[Tensor, Tensor]]) -> Overlap:
    """From pairs of masks, one for each matrix: changed by the first, changed by the second.

    A share of no changes is 0.
    """
    first, second, both, chance = 0, 0, 0, 0.0
    for one, other in changes:
        ones, others = int(one.sum()), int(other.sum())
        first, second, both = first + ones, second + others, both + int((one & other).sum())
        chance += ones * others / one.numel()
    first, second = max(first, 1), max(second, 1)
    return Overlap(both / first, both / second, chance / first, chance / second)


def product_rank(left: Tensor, right: Tensor) -> int:
    """Numerical rank of ``left @ right`` [N, r] @ [r, M], without making the product.

    Singular values below those of rounding in float32, ``max(N, M) * eps * largest``, count as 0.
    """
    core = torch.linalg.qr(left.double()).R @ torch.linalg.qr(right.double().T).R.T
    values = torch.linalg.svdvals(core)
    size = max(left.shape[0], right.shape[1])
    least = size * torch.finfo(torch.float32).eps * values.max()
    return int((values > least).sum())
