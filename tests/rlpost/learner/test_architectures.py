"""Every architecture: the learner gives what transformers gives to each sequence alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from rankers.errors import UserError
from rlpost.batch.packing import batches, collate
from rlpost.learner.architectures import HEADING, examined
from rlpost.learner.packed_policy import PackedPolicy, cost_sentence
from rlpost.rollout.engines.hf import HfEngine
from rlpost.types import Prompt, Sample, Sampling
from rlpost.weights.lora import LoraSettings, add_lora, linear_layers
from tests.architectures import FAMILIES, tiny_architecture
from tests.tiny_learner import tiny_learner

PAGE = Path(__file__).parents[3] / "rlpost" / "docs" / "architectures.md"
REFUSED = {"bert"}
"""Reads in both directions."""


def ids(count: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(10, 400, (count,), generator=generator).tolist())


def samples() -> list[Sample]:
    """Two siblings, another prompt, and a sequence longer than every window and chunk."""
    first = ids(20, 1)
    pairs = [
        (first, ids(9, 2)),
        (first, ids(7, 3)),
        (ids(17, 4), ids(8, 5)),
        (ids(61, 6), ids(13, 7)),
    ]
    return [
        Sample(
            prompt_ids=prompt,
            completion_ids=answer,
            logprobs_T=(0.0,) * len(answer),
            advantages_T=(1.0,) * len(answer),
        )
        for prompt, answer in pairs
    ]


def alone(model, sample: Sample) -> torch.Tensor:
    tokens = torch.tensor([sample.prompt_ids + sample.completion_ids])
    logits = model(tokens).logits[0, len(sample.prompt_ids) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, torch.tensor(sample.completion_ids)[:, None])[:, 0]


def adapted(kind: str):
    """The tiny model with adapters that change it; as it is where no layer can have one."""
    model = tiny_architecture(kind)
    if not linear_layers(model):
        with pytest.raises(UserError, match="no linear layers"):
            add_lora(model, LoraSettings(rank=2), seed=0)
        return model, {}
    wrapped = add_lora(model, LoraSettings(rank=2, alpha=4.0), seed=0).eval()
    trained = {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(0)
    for parameter in trained.values():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.05
    return model, trained


@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - REFUSED))
def test_logprobs_and_gradients_are_those_of_each_sequence_alone(kind: str) -> None:
    (reference, theirs), (model, ours) = adapted(kind), adapted(kind)
    rows = samples()
    want = torch.cat([alone(reference, row) for row in rows])
    policy = PackedPolicy(model)
    got, _ = policy.logprobs(collate([rows[:2], rows[2:3], rows[3:]]), temperature=1.0)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    short, _ = policy.logprobs(collate([rows[:2], rows[2:3]]), temperature=1.0)
    torch.testing.assert_close(short, want[:24], atol=1e-5, rtol=0)
    weights = torch.linspace(-1, 1, len(want))
    (want * weights).sum().backward()
    (got * weights).sum().backward()
    for name, parameter in ours.items():
        expected = theirs[name].grad
        if expected is None:  # a layer whose weight is read past its adapter
            assert parameter.grad is None
            continue
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(parameter.grad, expected, atol=2e-5 * scale, rtol=0)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_models_that_see_what_follows_are_refused(kind: str) -> None:
    with pytest.raises(UserError, match="cannot be trained here: a token's probability changes"):
        PackedPolicy(tiny_architecture(kind))


def test_the_table_of_the_docs_is_what_the_self_check_finds() -> None:
    rows = [examined(kind, tiny_architecture(kind)) for kind in FAMILIES]
    table = PAGE.read_text().split(HEADING)[1].strip().splitlines()
    assert table == [row.markdown() for row in rows]
    assert max(row.gap for row in rows) < 1e-5


@pytest.mark.parametrize("kind", ["llama", "qwen3_next", "gemma2", "bloom", "cohere", "mixtral"])
def test_rounded_weights_are_judged_like_exact_ones(kind: str) -> None:
    exact = PackedPolicy(tiny_architecture(kind))
    model = tiny_architecture(kind).to(torch.bfloat16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rounded = PackedPolicy(model)
    assert rounded.layout == exact.layout
    assert rounded.head.shape == exact.head.shape
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("kind", ["llama", "qwen3_next", "gemma2", "bloom", "mamba", "lfm2"])
def test_a_model_too_large_to_widen_is_judged_as_it_is(kind: str, monkeypatch) -> None:
    monkeypatch.setattr("rlpost.learner.precision.MOST_ON_CPU", 0)
    rounded = PackedPolicy(tiny_architecture(kind).to(torch.bfloat16))
    assert rounded.layout == PackedPolicy(tiny_architecture(kind)).layout


@pytest.mark.parametrize("kind", ["qwen3_next", "gemma2", "cohere", "mamba", "bloom", "gpt_oss"])
def test_a_learner_trains_and_scores_both_ways(kind: str, tmp_path: Path, tiny_model: Path) -> None:
    model = tiny_architecture(kind)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model / name, tmp_path)
    learner = tiny_learner(tmp_path)
    prompt, answer = ids(20, 1), ids(9, 2)
    with torch.no_grad():
        want = alone(model, samples()[0]).tolist()
    assert learner.score(prompt, answer) == pytest.approx(want, abs=1e-5)
    both = learner.score_both_ways(prompt, answer)
    assert both.batch_T == pytest.approx(want, abs=1e-5)
    assert both.alone_T == pytest.approx(want, abs=1e-5)
    packs = kind in ("gemma2", "cohere", "gpt_oss")
    assert learner.why_not_packed.startswith("" if packs else "the learner runs padded rows, not")
    assert bool(learner.why_not_packed) != packs


@pytest.mark.parametrize(
    ("kind", "together", "cached"),
    [
        ("llama", True, True),
        ("qwen3_next", True, True),
        ("minimax", False, True),
        ("zamba2", False, False),
        ("mamba", False, False),
    ],
)
def test_the_reference_engine_samples_as_it_scores(
    kind: str, together: bool, cached: bool, tmp_path: Path, tiny_model: Path
) -> None:
    """Prompts of several lengths together where filling them up changes nothing."""
    tiny_architecture(kind).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_model / name, tmp_path)
    engine = HfEngine(tmp_path)
    assert engine._way == (together, cached)
    prompts = [Prompt(id=str(n), messages=(), token_ids=ids(n, n)) for n in (17, 5, 11)]
    sampling = Sampling(temperature=1.0, max_tokens=12)
    sampled = engine.generate(prompts, seeds_P_G=[[1, 2], [3, 4], [5, 6]], sampling=sampling)
    for prompt, completions in zip(prompts, sampled, strict=True):
        for completion in completions:
            want = engine.score(prompt.token_ids, completion.token_ids)
            assert list(completion.logprobs_T) == pytest.approx(want, abs=2e-5)


def test_padded_rows_stay_within_the_budget_filling_included() -> None:
    policy = PackedPolicy(tiny_architecture("bloom"))
    rows = samples()
    made = batches(rows, budget=80, layout=policy.layout)
    assert [batch.indices for batch in made] == [(3,), (0, 1), (2,)]
    assert "every completion computes its prompt again" in cost_sentence(policy, longest=80)
    with torch.no_grad():
        got = {b.indices: policy.logprobs(b, temperature=1.0)[0] for b in made}
        for indices, logprobs_T in got.items():
            want = torch.cat([policy.alone(collate([[rows[i]]])) for i in indices])
            torch.testing.assert_close(logprobs_T, want, atol=1e-5, rtol=0)


def test_only_sequences_beyond_the_chunk_of_attention_are_padded() -> None:
    policy = PackedPolicy(tiny_architecture("llama4_text"))
    made = batches(samples(), budget=400, layout=policy.layout)
    assert [batch.indices for batch in made] == [(0, 1, 2), (3,)]
    assert [len(batch.blocks) for batch in made] == [2, 1]
    assert cost_sentence(policy, longest=64) == ""
    assert "over 64 tokens padded rows" in cost_sentence(policy, longest=65)
