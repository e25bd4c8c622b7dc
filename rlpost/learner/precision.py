"""A model's weights widened to float32 for a moment, and back without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

NARROW = (torch.bfloat16, torch.float16)
MOST_ON_CPU = 4 << 30
"""Bytes that widening may cost on a CPU: those of two billion parameters of bfloat16."""
PART_OF_GPU = 0.5
"""Of the free memory of a GPU."""


@contextmanager
def widened(model: nn.Module) -> Iterator[None]:
    """Inside, narrow parameters and buffers are float32 where memory allows, else as they are.

    Every bfloat16 and float16 is a float32, so that the way back is exact.
    """
    tensors = [t for t in chain(model.parameters(), model.buffers()) if t.dtype in NARROW]
    if not _affordable(tensors):
        yield
        return
    before = [(tensor, tensor.dtype) for tensor in tensors]
    try:
        for tensor, _ in before:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, dtype in before:
            tensor.data = tensor.data.to(dtype)


def _affordable(tensors: list[torch.Tensor]) -> bool:
    extra = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    on_gpu = next((t.device for t in tensors if t.device.type == "cuda"), None)
    if on_gpu is None:
        return extra <= MOST_ON_CPU
    free, _ = torch.cuda.mem_get_info(on_gpu)
    return extra <= PART_OF_GPU * free
