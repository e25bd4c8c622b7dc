"""LoRA targets: what cannot be served is refused in one sentence, and all-linear is servable."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rankers.errors import UserError
from rlpost.config.run import LoraConfig
from rlpost.models.loading import load_base
from rlpost.weights.lora import LoraSettings, add_lora, linear_layers, unservable_names


@pytest.mark.parametrize(
    "name",
    [
        "embed_tokens",
        "model.embed_tokens",
        "lm_head",
        "norm",
        "input_layernorm",
        "q_norm",
        "wte",
        "wpe",
        "ln_1",
        "conv1d",
        "word_embeddings",
        "post_attention_layernorm",
        "embed_out",
    ],
)
def test_what_no_model_can_serve_is_told_by_its_name(name: str) -> None:
    sentence = unservable_names(["q_proj", name])
    assert sentence is not None
    assert sentence.startswith(f"lora.target_modules names {name}: embeddings, norms")
    with pytest.raises(ValueError, match=f"names {name}: embeddings"):
        LoraConfig(target_modules=("q_proj", name))


def test_no_target_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="is empty: name linear layers"):
        LoraConfig(target_modules=())


@pytest.mark.parametrize(
    "name", ["q_proj", "gate_proj", "query_key_value", "c_attn", "in_proj", "dense_h_to_4h"]
)
def test_linear_layers_are_not_refused_by_name(name: str) -> None:
    assert unservable_names([name]) is None


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ((), "is empty"),
        (("q_proj", "embed_tokens"), "names embed_tokens: embeddings, norms and output heads"),
        (("lm_head",), "names lm_head"),
        (
            ("nope",),
            r"'nope' match no layer of Qwen2ForCausalLM: name linear layers .*\(q_proj, k_",
        ),
        (("mlp",), r"'mlp' matches model.layers.0.mlp, a Qwen2MLP .* name linear layers \(q_proj"),
        (("act_fn",), "'act_fn' matches model.layers.0.mlp.act_fn"),
    ],
)
def test_targets_that_are_no_linear_layers_are_refused(tiny_model, targets, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        add_lora(load_base(tiny_model, "float32"), LoraSettings(target_modules=targets), seed=0)


def test_all_linear_is_every_linear_layer_but_the_head(tiny_model) -> None:
    model = add_lora(load_base(tiny_model, "float32"), LoraSettings(rank=2), seed=0)
    trained = {n.split(".lora_")[0] for n, p in model.named_parameters() if p.requires_grad}
    layers = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert sorted({name.rsplit(".", 1)[-1] for name in trained}) == sorted(layers)
    assert len(trained) == 2 * len(layers)


@pytest.mark.parametrize(
    ("kind", "settings", "absent", "present"),
    [
        ("mixtral", {"num_local_experts": 2}, "gate", "q_proj"),
        ("qwen2_moe", {"num_experts": 4, "moe_intermediate_size": 16}, "gate_proj", "q_proj"),
        ("mamba", {"state_size": 4}, "out_proj", "in_proj"),
    ],
)
def test_all_linear_leaves_out_what_engines_cannot_serve(kind, settings, absent, present) -> None:
    """Experts, which PEFT would wrap under checkpoints' older names, and layers read by weight."""
    size = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **size, **heads, **settings)
    model = AutoModelForCausalLM.from_config(config)
    endings = {name.rsplit(".", 1)[-1] for name in linear_layers(model)}
    assert present in endings
    assert absent not in endings
    wrapped = add_lora(model, LoraSettings(rank=2), seed=0)
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    assert {p.dim() for p in trained} == {2}
    with torch.no_grad():
        assert wrapped(torch.arange(5)[None]).logits.shape == (1, 5, 64)


def test_gpt2_keeps_no_linear_layers() -> None:
    config = AutoConfig.for_model("gpt2", vocab_size=64, n_embd=32, n_layer=1, n_head=2)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="GPT2LMHeadModel has no linear layers that could be"):
        add_lora(model, LoraSettings(rank=2), seed=0)
    with pytest.raises(UserError, match="a Conv1D that cannot be served as LoRA"):
        add_lora(model, LoraSettings(rank=2, target_modules=("c_attn",)), seed=0)
