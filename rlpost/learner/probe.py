"""The sequences that the self-check runs: two siblings and another prompt, of random tokens."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlpost.batch.packing import TokenBatch, collate
from rlpost.types import Sample

PROMPTS = (21, 13)
COMPLETIONS = ((11, 9), (10,))
"""Tokens of each: longer than any convolution, shorter than any context, of odd lengths."""
CHANGED = 0
"""Place of the completion that ``neighbours_changed`` changes."""


def probe(vocabulary: int, *, device: torch.device) -> TokenBatch:
    """Two completions of one prompt and one of another, always the same."""
    generator = torch.Generator().manual_seed(0)
    # Below the middle: special tokens, which some models treat as images, stand at the ends.
    low, high = vocabulary // 8, max(vocabulary // 8 + 1, vocabulary // 2)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(low, high, (count,), generator=generator).tolist())

    groups = []
    for prompt, lengths in zip(PROMPTS, COMPLETIONS, strict=True):
        prompt_ids = ids(prompt)
        groups.append([_sample(prompt_ids, ids(length)) for length in lengths])
    return collate(groups, device=device)


def neighbours_changed(batch: TokenBatch) -> TokenBatch:
    """The same, with other tokens in the first completion."""
    changed = batch.input_ids_L.clone()
    start, count = PROMPTS[0], COMPLETIONS[0][CHANGED]
    changed[start : start + count] = changed[start : start + count].flip(0)
    return replace(batch, input_ids_L=changed)


def unchanged(values_T: Tensor) -> Tensor:
    """What belongs to the other completions."""
    return values_T[COMPLETIONS[0][CHANGED] :]


def _sample(prompt_ids: tuple[int, ...], completion_ids: tuple[int, ...]) -> Sample:
    nothing = (0.0,) * len(completion_ids)
    return Sample(
        prompt_ids=prompt_ids,
        completion_ids=completion_ids,
        logprobs_T=nothing,
        advantages_T=nothing,
    )
