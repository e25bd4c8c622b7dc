"""A run goes on with what it was started with, and every difference is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankers.errors import UserError
from rankers.files import digests
from rankers.files.digests import file_digest, folder_digests
from rlpost.config import parse
from rlpost.errors import CheckpointError, OtherRunError
from rlpost.identity import differences, identity_of, remember, remembered, require_same


@pytest.fixture
def model(tmp_path: Path, tiny_model: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "model")


def identity(folder: Path, **values: Any) -> dict[str, Any]:
    return identity_of(parse({"model": {"path": str(folder)}, **values}, origin="test"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seed": 5}, "seed was 0, now it is 5"),
        ({"name": "other"}, 'name was "run", now it is "other"'),
        ({"groups_per_step": 8}, "groups_per_step was 16, now it is 8"),
        ({"rollout": {"temperature": 0.5}}, "rollout.temperature was 1.0, now it is 0.5"),
        ({"rollout": {"max_new_tokens": 16}}, "rollout.max_new_tokens was 32, now it is 16"),
        ({"rollout": {"engine": "hf"}}, 'rollout.engine was "vllm", now it is "hf"'),
        ({"learner": {"learning_rate": 1e-5}}, "learner.learning_rate was 0.0001, now it is 1e-05"),
        ({"learner": {"schedule": "cosine"}}, 'learner.schedule was "constant", now it is'),
        ({"learner": {"warmup_steps": 3}}, "learner.warmup_steps was 0, now it is 3"),
        ({"learner": {"weight_decay": 0.1}}, "learner.weight_decay was 0.0, now it is 0.1"),
        ({"task": {"kind": "rerank", "template": "rankgpt"}}, 'task.template was "compact"'),
        ({"data": {"first_stage": "bm25s"}}, 'data.first_stage was "bm25", now it is "bm25s"'),
        ({"data": {"eval_queries": 7}}, "data.eval_queries was 500, now it is 7"),
        (
            {"algorithm": {"kl": {"kind": "k3", "coefficient": 0.1}}},
            "algorithm.kl was null, now it is {",
        ),
    ],
)
def test_a_changed_key_is_named(model: Path, values: dict[str, Any], sentence: str) -> None:
    [difference] = differences(identity(model), identity(model, **values))
    assert difference.startswith(sentence)


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        ({"alpha": 64}, "model.lora.alpha was 32.0, now it is 64.0"),
        ({"rank": 8}, "model.lora.rank was 16, now it is 8"),
        ({"dropout": 0.1}, "model.lora.dropout was 0.0, now it is 0.1"),
        ({"target_modules": ["q_proj"]}, 'model.lora.target_modules was "all-linear", now it is'),
    ],
)
def test_changed_adapter_settings_are_named(
    model: Path, lora: dict[str, Any], sentence: str
) -> None:
    now = identity(model, model={"path": str(model), "lora": lora})
    [difference] = differences(identity(model), now)
    assert difference.startswith(sentence)


def test_steps_logging_places_and_safety_may_change(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    now = identity(
        copy,
        model={"path": str(copy)},
        steps=90,
        output="elsewhere",
        checkpoint={"every": 1, "keep": 5},
        streaming={"stall_s": 10, "node_wait_s": 5},
        rollout={"workers": 2},
        learner={"diagnostics_every": 2, "uplift_every": 3},
        evaluation={"measures": ["AP"]},
    )
    assert list(differences(identity(model), now)) == []


def test_steps_are_fixed_where_the_learning_rate_runs_over_them(model: Path) -> None:
    cosine = {"learner": {"schedule": "cosine"}}
    then, now = identity(model, **cosine), identity(model, steps=90, **cosine)
    assert list(differences(then, now)) == ["steps was 40, now it is 90"]


def changed_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    times = path.stat()
    path.write_bytes(bytes(content))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def changed_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + " ")


def changed_stop_ids(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2, 3]}')


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (changed_weights, "model.path: model.safetensors changed"),
        (changed_template, "model.path: chat_template.jinja changed"),
        (changed_stop_ids, "model.path: generation_config.json changed"),
        (lambda folder: (folder / "added_tokens.json").write_text("{}"), "was not there"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "is gone"),
    ],
)
def test_a_changed_model_is_named(
    model: Path, change: Callable[[Path], object], sentence: str
) -> None:
    then = identity(model)
    change(model)
    [difference] = differences(then, identity(model))
    assert sentence in difference


def test_what_shapes_no_number_does_not_count(model: Path) -> None:
    then = identity(model)
    (model / "README.md").write_text("a card")
    (model / "eval_results.json").write_text("{}")
    assert list(differences(then, identity(model))) == []


def test_a_large_file_is_read_once_and_again_when_it_changed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "LARGE_BYTES", 1)
    reads: list[Path] = []
    read = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda path: reads.append(path) or read(path))
    path, cache = model / "model.safetensors", tmp_path / "cache"
    first = file_digest(path, cache_dir=cache)
    assert file_digest(path, cache_dir=cache) == first
    assert reads == [path]
    changed_weights(model)  # its size and time are as before
    assert file_digest(path, cache_dir=cache) not in (first, None)
    assert reads == [path, path]


def test_encoders_count_with_their_modules(tmp_path: Path) -> None:
    for name in ("config.json", "modules.json", "1_Pooling/config.json", "2_Dense/pytorch.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(folder_digests(tmp_path)) == [
        "1_Pooling/config.json",
        "2_Dense/pytorch.bin",
        "config.json",
        "modules.json",
    ]


def test_all_differences_are_told_with_what_may_change(tmp_path: Path) -> None:
    then = {"config": {"seed": 0}, "base": {"a": "1"}, "data": {"documents": "x"}}
    now = {"config": {"seed": 1}, "base": {"a": "2"}, "data": {"documents": "y"}}
    remember(tmp_path, then)
    assert remembered(tmp_path) == json.loads(json.dumps(then))
    require_same(then, then, where=tmp_path)
    with pytest.raises(OtherRunError) as caught:
        require_same(then, now, where=tmp_path)
    for sentence in ("seed was 0, now it is 1", "model.path: a changed", "data: documents changed"):
        assert sentence in str(caught.value)
    assert "may change: steps, " in str(caught.value)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, CheckpointError)
