"""Published adapters: what is refused before anything is loaded; the merge against PEFT's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from rlpost.errors import EngineError
from rlpost.models.loading import checkpoint_tensors, load_base
from rlpost.rollout.engines.parity import random_policy
from rlpost.types import PolicyRef
from rlpost.weights.adapter_files import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    read_adapter,
    verify,
    write_manifest,
)
from rlpost.weights.lora import merged

A0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
B0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"

Shapes = Mapping[str, tuple[int, ...]]


@pytest.fixture(scope="module")
def published(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    return random_policy(tiny_model, tmp_path_factory.mktemp("policies"), version=3)


@pytest.fixture
def policy(published: PolicyRef, tmp_path: Path) -> PolicyRef:
    """A copy to damage."""
    return PolicyRef(version=3, path=Path(shutil.copytree(published.path, tmp_path / "p")))


@pytest.fixture(scope="module")
def shapes(tiny_model: Path) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in checkpoint_tensors(tiny_model)}


def edit_weights(policy: PolicyRef, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors and publish them again, so that only their content is wrong."""
    tensors = load_file(policy.path / WEIGHTS)
    change(tensors)
    save_file(tensors, policy.path / WEIGHTS)
    write_manifest(policy.path, version=3, base_model="base")


def test_manifest_says_what_was_published(published: PolicyRef, tiny_model: Path) -> None:
    manifest = verify(published)
    assert (manifest.version, manifest.rank, manifest.alpha) == (3, 8, 16.0)
    assert manifest.base_model == str(tiny_model)
    assert manifest.sha256.keys() == {CONFIG, WEIGHTS}


def test_merge_equals_pefts(published: PolicyRef, tiny_model: Path, shapes: Shapes) -> None:
    base = dict(checkpoint_tensors(tiny_model))
    ours = dict(merged(base, read_adapter(published, shapes)))
    peft_model = PeftModel.from_pretrained(load_base(tiny_model, "float32"), published.path)
    theirs = peft_model.merge_and_unload().state_dict()
    assert ours.keys() == base.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], atol=1e-6, rtol=0)
    q_proj = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(ours[q_proj], base[q_proj])


def test_another_version(policy: PolicyRef) -> None:
    with pytest.raises(EngineError, match="version 3, expected 4"):
        verify(PolicyRef(version=4, path=policy.path))


def test_torn_file(policy: PolicyRef) -> None:
    file = policy.path / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(EngineError, match="not the file that was published"):
        verify(policy)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, MANIFEST])
def test_missing_file(policy: PolicyRef, name: str) -> None:
    (policy.path / name).unlink()
    with pytest.raises(EngineError, match=name):
        verify(policy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_dora", True),
        ("use_rslora", True),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "lora_ga"),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 4}),
        ("peft_type", "IA3"),
    ],
)
def test_other_than_plain_lora(policy: PolicyRef, field: str, value: object) -> None:
    file = policy.path / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(EngineError, match=f"{field} = .* only plain LoRA"):
        write_manifest(policy.path, version=3, base_model="base")


def test_names_that_match_nothing(policy: PolicyRef, shapes: Shapes) -> None:
    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in (A0, B0):
            tensors[name.replace("q_proj", "query")] = tensors.pop(name)

    edit_weights(policy, rename)
    with pytest.raises(EngineError, match=r"self_attn\.query, which the base model does not have"):
        read_adapter(policy, shapes)


def test_a_lone_factor(policy: PolicyRef, shapes: Shapes) -> None:
    edit_weights(policy, lambda tensors: tensors.pop(B0))
    with pytest.raises(EngineError, match=r"only one of the two LoRA factors of .*q_proj"):
        read_adapter(policy, shapes)


def test_a_wrong_shape(policy: PolicyRef, shapes: Shapes) -> None:
    edit_weights(policy, lambda tensors: tensors.update({A0: torch.zeros(8, 65)}))
    with pytest.raises(EngineError, match=r"q_proj have shapes B \(64, 8\) and A \(8, 65\)"):
        read_adapter(policy, shapes)


def test_not_finite(policy: PolicyRef, shapes: Shapes) -> None:
    edit_weights(policy, lambda tensors: tensors[A0].view(-1)[5].fill_(float("nan")))
    with pytest.raises(EngineError, match=r"q_proj are not finite"):
        read_adapter(policy, shapes)


def test_something_else_than_lora_factors(policy: PolicyRef, shapes: Shapes) -> None:
    edit_weights(policy, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(2, 2)}))
    with pytest.raises(EngineError, match="not LoRA factors"):
        read_adapter(policy, shapes)
