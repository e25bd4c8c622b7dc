"""YAML: a key stands once, and a scalar is what it looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rankers.config_file import read_yaml
from rankers.errors import UserError
from rankers.files.yaml_text import YamlKeyError, parse_yaml
from rlpost.cli.check import to_yaml
from rlpost.cli.suite.config import read_suite
from rlpost.config import load, parse
from rlpost.distill.config import load_distillation as load_distillation
from rlpost.serving.specs import settings_from

TWICE = "rollout: {group_size: 4}\nsteps: 3\nrollout: {max_new_tokens: 16}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, "utf-8")
    return path


def test_every_key_given_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    text = TWICE + "model:\n  lora:\n    rank: 2\n    rank: 4\n    rank: 5\n"
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, text))
    assert "key 'rollout' is given twice, on line 1 and 3: keep one" in str(caught.value)
    assert "key 'model.lora.rank' is given twice, on line 6 and 7 and 8" in str(caught.value)


@pytest.mark.parametrize(
    "read", [load, load_distillation, read_suite, lambda path: settings_from(path, {}, [])]
)
def test_all_readers_refuse_a_key_given_twice(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(UserError, match="key 'rollout' is given twice, on line 1 and 3"):
        read(written(tmp_path, TWICE))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a:\n- {m: 1}\n- {m: 1, 'm': 2}\n", "key 'a.1.m' is given twice, on line 3"),
        ("a: &x {k: 1, k: 2}\nb: *x\n", r"^key 'a\.k' is given twice, on line 1: keep one$"),
        ("a: &x {b: *x}\n", "'a.b' contains itself"),
        ("x: &x {k: 1}\na:\n  <<: *x\n  <<: *x\n", "key 'a.<<' is given twice"),
    ],
)
def test_what_contradicts_itself_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(YamlKeyError, match=sentence):
        parse_yaml(text)


def test_anchors_and_merged_keys_are_read() -> None:
    text = "base: &base {k: 1, m: 2}\na: {<<: *base, k: 3}\nb: *base\n"
    assert parse_yaml(text) == {
        "base": {"k": 1, "m": 2},
        "a": {"k": 3, "m": 2},
        "b": {"k": 1, "m": 2},
    }


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("12", 12),
        ("-3", -3),
        ("1_000", 1000),
        ("0x1f", 31),
        ("010", "010"),
        ("0o10", "0o10"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        ("1.0e-05", 1e-05),
        ("1e-5", "1e-5"),
        ("2024-01-01", "2024-01-01"),
        ("null", None),
        ("", None),
    ],
)
def test_a_scalar_is_what_it_looks_like(scalar: str, value: object) -> None:
    found = parse_yaml(f"key: {scalar}\n")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["yes", "010", "1:30", "1e5", "0o10", "1_000", "2024-01-01", "~"])
def test_what_is_written_is_read_back(text: str) -> None:
    assert parse_yaml(yaml.safe_dump({"key": text})) == {"key": text}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: yes", "steps: input should be a valid integer"),
        ("steps: true", "steps: input should be a valid integer"),
        ("steps: 1:30", "steps: input should be a valid integer"),
        ("steps: 0o10", "steps: input should be a valid integer"),
        ("learner: {max_grad_norm: on}", "learner.max_grad_norm: input should be a valid number"),
        ("learner: {learning_rate: true}", "learner.learning_rate: input should be a valid number"),
        ("learner: {learning_rate: .inf}", "learner.learning_rate: input should be a finite"),
        ("name: true", "name: input should be a valid string"),
        ("task: {kind: pg_rank, candidates: true}", "task.candidates: input should be a valid"),
        (
            "algorithm: {credit: {kind: gdpo, weights: {ndcg: true}}}",
            "weights.ndcg: input should be a valid number",
        ),
    ],
)
def test_a_number_is_no_truth_value(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, text))
    assert sentence in str(caught.value)


def test_numbers_that_look_like_numbers_are_read_as_such(tmp_path: Path) -> None:
    text = "steps: 1_000\nseed: 010\nname: 1e5\nlearner: {learning_rate: 1e-4}\n"
    cfg = load(written(tmp_path, text))
    assert (cfg.steps, cfg.seed, cfg.name, cfg.learner.learning_rate) == (1000, 10, "1e5", 1e-4)
    assert parse(read_yaml(written(tmp_path, to_yaml(cfg))), origin="again") == cfg


def test_the_last_of_two_overrides_counts(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), ["steps=5", "steps=6"]).steps == 6
    with pytest.raises(UserError, match=r"override 'rollout=.*'group_size' is given twice"):
        load(written(tmp_path, ""), ["rollout={group_size: 3, group_size: 4}"])


@pytest.mark.parametrize("text", ["steps: " + "9" * 5000, "[" * 5000])
def test_text_that_python_cannot_hold_is_no_valid_yaml(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"run\.yaml"):
        load(written(tmp_path, text))


@pytest.mark.parametrize("key", ["port", "limits.documents", "limits.deadline_s"])
def test_a_server_takes_no_truth_value_for_a_number(key: str) -> None:
    given = {"models": [{"name": "a", "method": "first", "model": "tiny-ranker"}]}
    with pytest.raises(UserError, match=rf"{key}: input should be a valid"):
        settings_from(None, given, [f"{key}=true"])
