"""Sums and means over the contiguous segments (sequences, ranks) of a packed token axis."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_sum(values_T: Tensor, lengths_S: Tensor) -> Tensor:
    """[T] -> [S]: the sum over each run of ``lengths_S`` tokens; 0 for an empty segment."""
    return torch.segment_reduce(values_T, "sum", lengths=lengths_S, unsafe=True)


def segment_mean(values_T: Tensor, lengths_S: Tensor) -> Tensor:
    """[T] -> [S]: the mean over each segment; 0 for an empty segment."""
    return segment_sum(values_T, lengths_S) / lengths_S.clamp(min=1)


def spread(values_S: Tensor, lengths_S: Tensor) -> Tensor:
    """[S] -> [T]: each segment's value at each of its tokens."""
    return values_S.repeat_interleave(lengths_S)


def segment_max(values_T: Tensor, lengths_S: Tensor) -> Tensor:
    """[T] -> [S]: the maximum over each segment; -inf for an empty segment."""
    return torch.segment_reduce(values_T, "max", lengths=lengths_S, unsafe=True)
