"""Samples -> packed, padding-free micro-batches under a token budget.

A micro-batch is one row of tokens made of blocks that lie side by side and do not see each other.
A block is a prompt followed by completions of it: siblings share the prompt's computation, since
each of them attends to the prompt and to itself only. Only the positions that predict completion
tokens are listed for the loss, so nothing needs a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rlpost.errors import UserError
from rlpost.losses import SampledTokens
from rlpost.types import Sample


class Block(NamedTuple):
    """Lengths in tokens of a prompt and of the completions that follow it."""

    prompt: int
    completions: tuple[int, ...]

    @property
    def length(self) -> int:
        return self.prompt + sum(self.completions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """One row of L tokens, T of which are completion tokens to learn from, of S completions."""

    input_ids_L: Tensor
    position_ids_L: Tensor
    """Place in the sequence: every completion goes on where its prompt ends."""
    blocks: tuple[Block, ...]
    """What the row is made of."""
    sources_T: Tensor
    """Position in the row whose output predicts completion token t: the one before it."""
    targets_T: Tensor
    """The completion tokens."""
    behaviour_T: Tensor
    """Log-probabilities that the engine reported (float32)."""
    sampled: SampledTokens
    """What the objective gets; as packed, its old policy is the behaviour policy."""


def pack(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Indices of ``lengths`` in bins of at most ``budget``: first-fit decreasing, deterministic.

    No length may be over the budget.
    """
    bins: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        slot = next((b for b, room in enumerate(free) if room >= lengths[index]), None)
        if slot is None:
            bins.append([index])
            free.append(budget - lengths[index])
        else:
            bins[slot].append(index)
            free[slot] -= lengths[index]
    return bins


def batches(
    samples: Sequence[Sample],
    *,
    budget: int,
    share_prompts: bool = True,
    device: torch.device | str = "cpu",
) -> list[TokenBatch]:
    """Micro-batches of at most ``budget`` tokens that hold every sample with a completion once.

    ``share_prompts`` computes a prompt once for all of its completions in a micro-batch. Raises
    UserError for a sample over the budget.
    """
    trained = [sample for sample in samples if sample.completion_ids]
    if share_prompts:
        siblings: dict[tuple[int, ...], list[Sample]] = {}
        for sample in trained:
            siblings.setdefault(sample.prompt_ids, []).append(sample)
        groups = [b for group in siblings.values() for b in _blocks(group, budget=budget)]
    else:
        groups = [b for sample in trained for b in _blocks([sample], budget=budget)]
    bins = pack([block_of(group).length for group in groups], budget=budget)
    return [collate([groups[i] for i in indices], device=device) for indices in bins]


def _blocks(siblings: Sequence[Sample], *, budget: int) -> Iterator[list[Sample]]:
    """Siblings in order, cut into blocks of at most ``budget`` tokens."""
    block: list[Sample] = []
    room = 0
    for sample in siblings:
        if num_tokens(sample) > budget:
            raise UserError(
                f"a sample has {num_tokens(sample)} tokens but learner.tokens_per_batch is "
                f"{budget}: set it to at least {num_tokens(sample)}"
            )
        if len(sample.completion_ids) > room and block:
            yield block
            block = []
        if not block:
            room = budget - len(sample.prompt_ids)
        block.append(sample)
        room -= len(sample.completion_ids)
    if block:
        yield block


def block_of(siblings: Sequence[Sample]) -> Block:
    """Lengths of siblings that share their prompt."""
    return Block(len(siblings[0].prompt_ids), tuple(len(s.completion_ids) for s in siblings))


def num_tokens(sample: Sample) -> int:
    """Prompt and completion tokens of one sample."""
    return len(sample.prompt_ids) + len(sample.completion_ids)


def collate(
    groups: Sequence[Sequence[Sample]], *, device: torch.device | str = "cpu"
) -> TokenBatch:
    """One micro-batch, a block for each of ``groups``, whose samples have one prompt in common."""
    samples = [sample for siblings in groups for sample in siblings]
    blocks = tuple(block_of(siblings) for siblings in groups)
    row: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    for siblings, block in zip(groups, blocks, strict=True):
        if not block.prompt:
            raise ValueError("an empty prompt predicts nothing: the first token has no source")
        row.extend(siblings[0].prompt_ids)
        positions.extend(range(block.prompt))
        last_of_prompt = len(row) - 1
        for sample in siblings:
            count = len(sample.completion_ids)
            sources.extend((last_of_prompt, *range(len(row), len(row) + count - 1)))
            positions.extend(range(block.prompt, block.prompt + count))
            row.extend(sample.completion_ids)

    def integers(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    def floats(rows: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor([x for row in rows for x in row], dtype=torch.float32, device=device)

    behaviour_T = floats([s.logprobs_T for s in samples])
    return TokenBatch(
        input_ids_L=integers(row),
        position_ids_L=integers(positions),
        blocks=blocks,
        sources_T=integers(sources),
        targets_T=integers([t for s in samples for t in s.completion_ids]),
        behaviour_T=behaviour_T,
        sampled=SampledTokens(
            old_T=behaviour_T,
            advantages_T=floats([s.advantages_T for s in samples]),
            lengths_S=integers([len(s.completion_ids) for s in samples]),
        ),
    )
