"""The packed forward pass equals one plain forward pass per sequence, or is refused."""

import dataclasses

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from rlpost.attention import packed_sdpa
from rlpost.batching import Block, collate
from rlpost.errors import UserError
from rlpost.policy import PackedPolicy
from rlpost.types import Sample
from tests.tiny_model import tiny_model_dir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)


def samples():
    generator = torch.Generator().manual_seed(0)

    def ids(count):
        return tuple(torch.randint(0, 300, (count,), generator=generator).tolist())

    return [
        Sample(
            prompt_ids=ids(p), completion_ids=ids(c), logprobs_T=(0.0,) * c, advantages_T=(1.0,) * c
        )
        for p, c in ((5, 3), (1, 7), (20, 1), (4, 9))
    ]


def unpacked(model, rows, temperature):
    parts = []
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.completion_ids])
        logp = (model(ids).logits[0] / temperature).log_softmax(-1)
        first = len(row.prompt_ids)
        parts.append(logp[first - 1 : -1].gather(1, ids[0, first:, None])[:, 0])
    return torch.cat(parts)


def test_packed_equals_unpacked_with_gradients(folder) -> None:
    reference, model = load(folder), load(folder)
    naive_T = unpacked(reference, samples(), 0.7)
    packed_T, _ = PackedPolicy(model).logprobs(
        collate([[row] for row in samples()]), temperature=0.7
    )
    torch.testing.assert_close(packed_T, naive_T, atol=1e-10, rtol=0)
    weights = torch.linspace(-1, 1, len(naive_T), dtype=torch.float64)
    (naive_T * weights).sum().backward()
    (packed_T * weights).sum().backward()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-7)


def test_siblings_that_share_a_prompt_equal_unpacked_ones_with_gradients(folder) -> None:
    prompt = samples()[2].prompt_ids
    siblings = [dataclasses.replace(row, prompt_ids=prompt) for row in samples()]
    reference, model = load(folder), load(folder)
    naive_T = unpacked(reference, [*siblings, samples()[0]], 1.0)
    batch = collate([siblings, samples()[:1]])
    packed_T, _ = PackedPolicy(model).logprobs(batch, temperature=1.0)
    torch.testing.assert_close(packed_T, naive_T, atol=1e-10, rtol=0)
    weights = torch.linspace(-1, 1, len(naive_T), dtype=torch.float64)
    (naive_T * weights).sum().backward()
    (packed_T * weights).sum().backward()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        # RMSNorm rounds to float32, here once for all siblings and there once for each.
        torch.testing.assert_close(
            ours.grad, theirs.grad, atol=1e-6 * theirs.grad.abs().max().item(), rtol=0
        )


def test_neighbours_in_the_row_do_not_matter(folder) -> None:
    policy = PackedPolicy(load(folder))
    rows = samples()
    forward, _ = policy.logprobs(collate([[row] for row in rows]), temperature=1.0)
    backward, _ = policy.logprobs(collate([[row] for row in rows[::-1]]), temperature=1.0)
    lengths = [len(row.completion_ids) for row in rows]
    reordered = torch.cat(torch.split(backward, lengths[::-1])[::-1])
    torch.testing.assert_close(forward, reordered, atol=1e-10, rtol=0)


def test_a_head_that_is_more_than_a_matrix_is_refused(folder) -> None:
    model = load(folder)
    model.set_output_embeddings(nn.Linear(64, 329, bias=True))
    with pytest.raises(UserError, match="output head"):
        PackedPolicy(model)


def test_attention_refuses_what_it_would_get_wrong() -> None:
    q = torch.zeros(1, 2, 6, 4)
    with pytest.raises(ValueError, match="its blocks"):
        packed_sdpa(nn.Identity(), q, q, q, None)
    with pytest.raises(ValueError, match="window of 5"):
        packed_sdpa(nn.Identity(), q, q, q, None, blocks=[Block(4, (2,))], sliding_window=5)
