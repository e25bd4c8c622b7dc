"""Base models: what is refused, in which words, and how a conversation is rendered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from rankers.errors import UserError
from rankers.model_path import resolve
from rlpost.models.loading import (
    NO_LIMIT,
    checkpoint_tensors,
    context_length,
    load_base,
    load_tokenizer,
    render,
    stop_ids,
)
from rlpost.types import Message


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_render_ends_where_the_assistant_begins(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    ids = render(
        tokenizer,
        [Message(role="system", content="Rank."), Message(role="user", content="a [1]\nb [2]")],
    )
    assert tokenizer.decode(list(ids)) == (
        "<|im_start|>system\nRank.<|im_end|>\n<|im_start|>user\na [1]\nb [2]<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert ids.count(tokenizer.convert_tokens_to_ids("[2]")) == 1


def test_stop_ids_are_the_tokenizers_and_the_models(copy: Path) -> None:
    tokenizer = load_tokenizer(copy)
    assert stop_ids(copy, tokenizer) == {tokenizer.eos_token_id}
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    assert stop_ids(copy, tokenizer) == {0, 2}


def test_base_has_the_asked_dtype_and_the_checkpoints_weights(tiny_model: Path) -> None:
    weights = dict(checkpoint_tensors(tiny_model))
    model = load_base(tiny_model, "float32")
    assert not model.training
    for name, tensor in weights.items():
        assert torch.equal(model.get_parameter(name), tensor)
    assert load_base(tiny_model, "bfloat16").dtype == torch.bfloat16


def test_context_is_bounded_by_the_models_positions(tiny_model: Path) -> None:
    assert context_length(tiny_model, None) == 512
    assert context_length(tiny_model, 100) == 100
    with pytest.raises(UserError, match=r"max_length 513 exceeds the 512 positions"):
        context_length(tiny_model, 513)


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"model_type": "gpt2", "n_positions": 128}, 128),
        ({"model_type": "mpt", "max_seq_len": 96}, 96),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 64}}, 64),
        ({"model_type": "gpt2"}, 1024),
        ({"model_type": "mamba"}, NO_LIMIT),
        ({"model_type": "bloom"}, NO_LIMIT),
    ],
)
def test_positions_have_many_names(tmp_path: Path, config: dict[str, Any], positions: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_length(tmp_path, None) == positions
    assert context_length(tmp_path, 50) == 50
    with pytest.raises(UserError, match=f"exceeds the {positions} positions"):
        context_length(tmp_path, positions + 1)


def test_missing_folder() -> None:
    with pytest.raises(UserError, match="there is no model /no/such/model"):
        resolve("/no/such/model")


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        resolve(tmp_path)


def test_hub_id_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hub cannot be reached"):
        resolve("nobody/no-such-model")


def test_no_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer"):
        load_tokenizer(copy)


def test_no_chat_template(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template"):
        load_tokenizer(copy)


def test_weights_missing(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        list(checkpoint_tensors(copy))
    with pytest.raises(UserError, match="not a loadable causal language model"):
        load_base(copy, "float32")
