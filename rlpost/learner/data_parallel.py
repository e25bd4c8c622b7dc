"""Learners side by side: each computes a share of a step, all make the same update.

Every rank is given the same groups and makes the same plan (credit, order, denominators), so only
sums travel: what was seen of the samples, the gradients, and the diagnostics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed
from torch import Tensor


class Ranks(Protocol):
    """The learners that share the work, seen from one of them."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over all ranks."""
        ...

    def most(self, values: Tensor) -> None:
        """Replace each value, in place, by the largest of all ranks."""
        ...


class Alone:
    """A world of one."""

    rank = 0
    size = 1

    def add(self, tensors: Sequence[Tensor]) -> None:
        """The sum over one rank is there already."""

    def most(self, values: Tensor) -> None:
        """So is the largest."""


class TorchRanks:
    """The ranks of the initialised torch.distributed process group.

    Diagnostics are summed on the CPU: with a model on CUDA the group's backend has to be
    ``cpu:gloo,cuda:nccl``.
    """

    def __init__(self) -> None:
        self.rank = torch.distributed.get_rank()
        self.size = torch.distributed.get_world_size()

    def add(self, tensors: Sequence[Tensor]) -> None:
        """One collective per dtype: the tensors travel as one."""
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            torch.distributed.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in alike])
            for tensor, part in zip(alike, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def most(self, values: Tensor) -> None:
        torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)


def share(sizes: Sequence[int], ranks: Ranks) -> list[int]:
    """Indices of the items that this rank works on: contiguous, in equal parts by ``sizes``.

    Contiguous so that siblings stay together and share their prompt. Every item is on one rank.
    """
    total = sum(sizes)
    mine = []
    before = 0
    for index, size in enumerate(sizes):
        if (2 * before + size) * ranks.size // (2 * total or 1) == ranks.rank:
            mine.append(index)
        before += size
    return mine
