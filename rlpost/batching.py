"""Samples -> packed, padding-free micro-batches under a token budget.

A micro-batch is one row of tokens in which sequences lie side by side; ``cu_seqlens`` separates
them for attention. Only the positions that predict completion tokens are listed for the loss, so
nothing needs a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from rlpost.errors import UserError
from rlpost.losses import SampledTokens
from rlpost.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """S whole sequences in one row of L tokens, T of which are completion tokens to learn from."""

    input_ids_L: Tensor
    position_ids_L: Tensor
    """Restart at 0 with every sequence."""
    cu_seqlens: Tensor
    """int32 [S + 1]: sequence s is ``[cu_seqlens[s], cu_seqlens[s + 1])`` of the row."""
    longest: int
    """Tokens of the longest sequence."""
    sources_T: Tensor
    """Position in the row whose output predicts completion token t: the one before it."""
    targets_T: Tensor
    """The completion tokens."""
    sampled: SampledTokens
    """Behaviour log-probabilities and advantages of the completion tokens (float32)."""


def pack(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Indices of ``lengths`` in bins of at most ``budget``: first-fit decreasing, deterministic.

    Raises UserError for a length over the budget.
    """
    bins: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > budget:
            raise UserError(
                f"a sample has {length} tokens but learner.tokens_per_batch is {budget}: "
                f"set it to at least {length}"
            )
        slot = next((b for b, room in enumerate(free) if room >= length), None)
        if slot is None:
            bins.append([index])
            free.append(budget - length)
        else:
            bins[slot].append(index)
            free[slot] -= length
    return bins


def batches(
    samples: Sequence[Sample], *, budget: int, device: torch.device | str = "cpu"
) -> list[TokenBatch]:
    """Micro-batches that hold every sample with a completion once, each of at most ``budget``
    tokens.
    """
    trained = [sample for sample in samples if sample.completion_ids]
    bins = pack([num_tokens(sample) for sample in trained], budget=budget)
    return [collate([trained[i] for i in indices], device=device) for indices in bins]


def num_tokens(sample: Sample) -> int:
    """Prompt and completion tokens of one sample."""
    return len(sample.prompt_ids) + len(sample.completion_ids)


def collate(samples: Sequence[Sample], *, device: torch.device | str = "cpu") -> TokenBatch:
    """One micro-batch of ``samples``, in order; each needs a prompt and a completion."""
    lengths = [num_tokens(sample) for sample in samples]
    starts = [0, *accumulate(lengths)]
    sources: list[int] = []
    for sample, start in zip(samples, starts, strict=False):
        if not sample.prompt_ids:
            raise ValueError("an empty prompt predicts nothing: the first token has no source")
        first = start + len(sample.prompt_ids) - 1
        sources.extend(range(first, first + len(sample.completion_ids)))

    def integers(values: Sequence[int], dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    def floats(rows: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor([x for row in rows for x in row], dtype=torch.float32, device=device)

    return TokenBatch(
        input_ids_L=integers([t for s in samples for t in (*s.prompt_ids, *s.completion_ids)]),
        position_ids_L=integers([i for length in lengths for i in range(length)]),
        cu_seqlens=integers(starts, torch.int32),
        longest=max(lengths),
        sources_T=integers(sources),
        targets_T=integers([t for s in samples for t in s.completion_ids]),
        sampled=SampledTokens(
            old_T=floats([s.logprobs_T for s in samples]),
            advantages_T=floats([s.advantages_T for s in samples]),
            lengths_S=integers([len(s.completion_ids) for s in samples]),
        ),
    )
