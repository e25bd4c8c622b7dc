"""The packed forward pass equals one plain forward pass per sequence, or is refused."""

import dataclasses

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from rankers.errors import UserError
from rlpost.batch.packed_attention import packed_sdpa
from rlpost.batch.packing import Block, collate
from rlpost.learner.packed_policy import PackedPolicy
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


def test_a_head_with_a_bias_equals_the_plain_model_with_gradients(folder) -> None:
    def biased():
        model = load(folder)
        head = nn.Linear(64, 329, bias=True, dtype=torch.float64)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            nn.init.normal_(head.weight, std=0.2)
            nn.init.normal_(head.bias)
        model.set_output_embeddings(head)
        return model

    reference, model = biased(), biased()
    naive_T = unpacked(reference, samples(), 0.7)
    packed_T, _ = PackedPolicy(model).logprobs(
        collate([[row] for row in samples()]), temperature=0.7
    )
    torch.testing.assert_close(packed_T, naive_T, atol=1e-10, rtol=0)
    naive_T.square().sum().backward()
    packed_T.square().sum().backward()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-7)


def test_a_head_that_is_no_matrix_is_refused(folder) -> None:
    model = load(folder)
    model.set_output_embeddings(nn.Sequential(nn.Linear(64, 329)))
    with pytest.raises(UserError, match="output head is Sequential"):
        PackedPolicy(model)


def test_logits_that_the_head_alone_does_not_make_are_refused(folder) -> None:
    model = load(folder)
    model.lm_head.register_forward_hook(lambda module, args, output: output.sin())
    with pytest.raises(UserError, match="Qwen2ForCausalLM cannot be trained here: its logits"):
        PackedPolicy(model)


def test_attention_refuses_what_it_would_get_wrong() -> None:
    q = torch.zeros(1, 2, 6, 4)
    with pytest.raises(ValueError, match="its blocks"):
        packed_sdpa(nn.Identity(), q, q, q, None)
    with pytest.raises(ValueError, match="does not know position_bias"):
        packed_sdpa(nn.Identity(), q, q, q, None, blocks=[Block(4, (2,))], position_bias=q)
    with pytest.raises(ValueError, match="does not know is_causal"):
        packed_sdpa(nn.Identity(), q, q, q, None, blocks=[Block(4, (2,))], is_causal=False)


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("sinks", [False, True])
def test_attention_equals_its_definition(window, softcap, sinks) -> None:
    """Two siblings behind a prompt, token by token, with every option."""
    generator = torch.Generator().manual_seed(0)
    block = Block(6, (4, 3))
    q = torch.randn(1, 4, 13, 8, generator=generator, dtype=torch.float64)
    k, v = (torch.randn(1, 2, 13, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    s_aux = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64) if sinks else None
    got, _ = packed_sdpa(
        nn.Identity(),
        q,
        k,
        v,
        None,
        scaling=0.7,
        sliding_window=window,
        softcap=softcap,
        s_aux=s_aux,
        blocks=[block],
    )
    sequence = {0: [*range(10)], 1: [*range(6), *range(10, 13)]}
    for sibling, places in sequence.items():
        for end, place in enumerate(places):
            if sibling and place < 6:
                continue
            seen = places[: end + 1][-(window or 99) :]
            for head in range(4):
                scores = k[0, head // 2, seen] @ q[0, head, place] * 0.7
                if softcap:
                    scores = softcap * torch.tanh(scores / softcap)
                extra = [] if s_aux is None else [s_aux[head : head + 1]]
                weights = torch.cat([scores, *extra]).softmax(0)[: len(seen)]
                want = weights @ v[0, head // 2, seen]
                torch.testing.assert_close(got[0, place, head], want, atol=1e-10, rtol=0)
