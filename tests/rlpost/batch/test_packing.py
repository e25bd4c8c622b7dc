"""Packing: every sample once, within the budget; indices by hand."""

import random
from typing import Any

import pytest
import torch

from rankers.errors import UserError
from rlpost.batch.packing import Block, batches, collate, pack_rows
from rlpost.types import Sample


def sample(prompt, completion, logprob=-1.0, advantage=1.0):
    return Sample(
        prompt_ids=tuple(prompt),
        completion_ids=tuple(completion),
        logprobs_T=(logprob,) * len(completion),
        advantages_T=(advantage,) * len(completion),
    )


def test_collate_by_hand() -> None:
    siblings = [sample([5, 6], [7, 8], -0.5, 2.0), sample([5, 6], [3], -0.75, 1.0)]
    batch = collate([siblings, [sample([9], [4], -0.25, -1.0)]])
    assert batch.input_ids_L.tolist() == [5, 6, 7, 8, 3, 9, 4]
    assert batch.position_ids_L.tolist() == [0, 1, 2, 3, 2, 0, 1]
    assert batch.blocks == (Block(2, (2, 1)), Block(1, (1,)))
    assert batch.sources_T.tolist() == [1, 2, 1, 5]
    assert batch.targets_T.tolist() == [7, 8, 3, 4]
    assert batch.sampled.behaviour_T.tolist() == [-0.5, -0.5, -0.75, -0.25]
    assert batch.sampled.advantages_T.tolist() == [2, 2, 1, -1]
    assert batch.sampled.lengths_S.tolist() == [2, 1, 1]


def test_siblings_share_their_prompt_as_far_as_the_budget_goes() -> None:
    siblings = [sample([5, 6, 7], [i] * 4) for i in range(5)]
    other = sample([8], [9, 9])

    def layout(**settings: Any) -> list[tuple[Block, ...]]:
        return [batch.blocks for batch in batches([*siblings, other], **settings)]

    whole = Block(3, (4, 4, 4, 4, 4))
    assert layout(budget=30) == [(whole, Block(1, (2,)))]
    assert layout(budget=12) == [
        (Block(3, (4, 4)),),
        (Block(3, (4, 4)),),
        (Block(3, (4,)), Block(1, (2,))),
    ]
    assert layout(budget=30, share_prompts=False) == [
        (Block(3, (4,)),) * 4,
        (Block(3, (4,)), Block(1, (2,))),
    ]


def test_first_fit_decreasing_by_hand() -> None:
    assert pack_rows([3, 7, 5, 2, 3], budget=10) == [[1, 0], [2, 4, 3]]
    assert pack_rows([], budget=10) == []


def test_every_sample_once_and_within_the_budget() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 60) for _ in range(300)]
    bins = pack_rows(lengths, budget=128)
    assert sorted(i for b in bins for i in b) == list(range(300))
    assert max(sum(lengths[i] for i in b) for b in bins) <= 128
    # First-fit decreasing leaves at most one bin half empty.
    assert sum(sum(lengths[i] for i in b) <= 64 for b in bins) <= 1


def test_a_sample_over_the_budget_is_refused_before_any_training() -> None:
    with pytest.raises(UserError, match=r"11 tokens but learner\.tokens_per_batch is 10"):
        batches([sample([1], [2]), sample([1] * 8, [2] * 3)], budget=10)


def test_empty_completions_are_left_out_and_empty_prompts_refused() -> None:
    assert batches([sample([1, 2], [])], budget=10) == []
    with pytest.raises(ValueError, match="empty prompt"):
        collate([[sample([], [1])]])


def test_dtypes() -> None:
    batch = collate([[sample([5, 6], [7, 8])]])
    assert batch.sampled.old_T.dtype == torch.float32
