"""Samples -> packed, padding-free micro-batches under a token budget.

A micro-batch is one row of tokens made of blocks that lie side by side and do not see each other.
A block is a prompt followed by completions of it: siblings share the prompt's computation, since
each of them attends to the prompt and to itself only. Only the positions that predict completion
tokens are listed for the loss, so nothing needs a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rankers.errors import UserError
from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.types import Sample

Rows = Literal["packed", "padded", "alone"]
"""How sequences go through the model: side by side in one row, each in a row that is filled up to
the longest, or one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which rows a model may be given, so that a sequence gets what it gets alone."""

    rows: Rows = "packed"
    longest: int | None = None
    """Tokens up to which a sequence may go that way; None: any."""
    beyond: Rows = "padded"
    """How longer ones go."""

    def of(self, length: int) -> Rows:
        """How a sequence of that many tokens goes."""
        return self.rows if self.longest is None or length <= self.longest else self.beyond


class Block(NamedTuple):
    """Lengths in tokens of a prompt and of the completions that follow it."""

    prompt: int
    completions: tuple[int, ...]

    @property
    def length(self) -> int:
        return self.prompt + sum(self.completions)

    @property
    def sequences(self) -> tuple[int, ...]:
        """Length of each completion with the prompt before it."""
        return tuple(self.prompt + completion for completion in self.completions)


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
    sampled: SampledTokens
    """What the objective gets; as packed, its old policy is the behaviour policy."""
    indices: tuple[int, ...] = ()
    """Place of each of the S sequences in the samples that ``batches`` was given."""


def pack_rows(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
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
    layout: Layout = Layout(),
    device: torch.device | str = "cpu",
) -> list[TokenBatch]:
    """Micro-batches of at most ``budget`` tokens that hold every sample with a completion once.

    ``share_prompts`` computes a prompt once for all of its completions in a packed micro-batch; the
    filling of padded rows counts as tokens. Raises UserError for a sample over the budget.
    """
    ways: dict[Rows, list[int]] = {}
    for index, sample in enumerate(samples):
        if sample.completion_ids:
            _check_budget(sample, budget)
            ways.setdefault(layout.of(num_tokens(sample)), []).append(index)
    rows: list[list[list[int]]] = []
    for way, indices in ways.items():
        if way == "padded":
            rows += [[[i] for i in bin_] for bin_ in _rectangles(samples, indices, budget=budget)]
        else:
            share = share_prompts and way == "packed"
            rows += _packed(samples, indices, budget=budget, share_prompts=share)
    return [
        replace(
            collate([[samples[i] for i in block] for block in row], device=device),
            indices=tuple(i for block in row for i in block),
        )
        for row in rows
    ]


def _packed(
    samples: Sequence[Sample], indices: Sequence[int], *, budget: int, share_prompts: bool
) -> list[list[list[int]]]:
    """Micro-batches, blocks of each, samples of each block."""
    families: dict[object, list[int]] = {}
    for index in indices:
        prompt_ids = samples[index].prompt_ids
        families.setdefault(prompt_ids if share_prompts else index, []).append(index)
    blocks = [b for family in families.values() for b in _blocks(samples, family, budget=budget)]
    lengths = [block_of([samples[i] for i in block]).length for block in blocks]
    return [[blocks[b] for b in chosen] for chosen in pack_rows(lengths, budget=budget)]


def _rectangles(
    samples: Sequence[Sample], indices: Sequence[int], *, budget: int
) -> list[list[int]]:
    """Samples of like length together: their number times the longest is at most ``budget``."""
    bins: list[list[int]] = []
    for index in sorted(indices, key=lambda i: (-num_tokens(samples[i]), i)):
        if bins and (len(bins[-1]) + 1) * num_tokens(samples[bins[-1][0]]) <= budget:
            bins[-1].append(index)
        else:
            bins.append([index])
    return bins


def _check_budget(sample: Sample, budget: int) -> None:
    if num_tokens(sample) > budget:
        raise UserError(
            f"a sample has {num_tokens(sample)} tokens but learner.tokens_per_batch is "
            f"{budget}: set it to at least {num_tokens(sample)}"
        )


def _blocks(
    samples: Sequence[Sample], family: Sequence[int], *, budget: int
) -> Iterator[list[int]]:
    """A family of siblings in order, cut into blocks of at most ``budget`` tokens."""
    block: list[int] = []
    room = 0
    for index in family:
        sample = samples[index]
        if len(sample.completion_ids) > room and block:
            yield block
            block = []
        if not block:
            room = budget - len(sample.prompt_ids)
        block.append(index)
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

    return TokenBatch(
        input_ids_L=integers(row),
        position_ids_L=integers(positions),
        blocks=blocks,
        sources_T=integers(sources),
        targets_T=integers([t for s in samples for t in s.completion_ids]),
        sampled=SampledTokens.of(samples, device=device),
    )
