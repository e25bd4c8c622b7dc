"""The schema: closed, checked across keys, and clear about every mistake at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rankers.errors import UserError
from rlpost.cli.check import derived, to_yaml
from rlpost.config import load, parse
from rlpost.config.run import RunConfig


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, "utf-8")
    return path


def test_every_mistake_is_listed_with_key_value_and_nearest_key(tmp_path: Path) -> None:
    text = "stps: 3\nrollout: {group_size: 1, engin: hf}\nstreaming: {max_lag: -1}\n"
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, text))
    message = str(caught.value)
    assert message.startswith("4 mistakes in ")
    assert "stps: unknown key (value 3); did you mean 'steps'?" in message
    assert "rollout.engin: unknown key (value 'hf'); did you mean 'rollout.engine'?" in message
    assert "rollout.group_size: input should be greater than or equal to 2 (got 1)" in message
    assert "streaming.max_lag: input should be greater than or equal to 0 (got -1)" in message


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"learner": {"tokens_per_batch": 512}}, "learner.tokens_per_batch is 512"),
        ({"model": {"max_length": 100}}, "task.candidates * task.passage_tokens"),
        ({"evaluation": {"measures": ["AP", "nDCG@0"]}}, "measure 'nDCG@0': cutoff must be from 1"),
        ({"evaluation": {"measures": []}}, "evaluation.measures is empty"),
        ({"rollout": {"max_new_tokens": 2000}}, "leaves no room for a prompt"),
        (
            {"rollout": {"sync": "merged"}, "model": {"dtype": "bfloat16"}},
            "updates of the size of RL's vanish",
        ),
        ({"rollout": {"workers": 9}, "groups_per_step": 4}, "a step has only 1 engine calls"),
        (
            {"rollout": {"max_new_tokens": 80}, "algorithm": {"shaping": {"kind": "verl"}}},
            "the velocity of a response exists from 81 tokens on at algorithm.shaping.stride 40",
        ),
        (
            {
                "algorithm": {
                    "reward": {"unlikeliness": {}},
                    "credit": {"kind": "gdpo", "weights": {"ndcg": 1}},
                }
            },
            "algorithm.reward.unlikeliness changes the total reward, which algorithm.credit.kind",
        ),
        (
            {"algorithm": {"reward": {"overlong": {"margin": 32}}}},
            "algorithm.reward.overlong.margin is 32, which punishes every completion",
        ),
        (
            {
                "task": {"kind": "pg_rank"},
                "rollout": {"engine": "encoder"},
                "algorithm": {"shaping": {"kind": "verl", "stride": 1}},
            },
            "algorithm.shaping: task.kind 'pg_rank' has no written answers",
        ),
    ],
)
def test_rules_between_keys(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=r"mistakes? in test") as caught:
        parse(values, origin="test")
    assert sentence in str(caught.value)


def test_overrides_are_yaml_values_and_leave_other_keys_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "steps: 7\nrollout: {group_size: 4}\n")
    cfg = load(path, ["rollout.engine=hf", "seed=3", "evaluation.measures=[AP]"])
    assert (cfg.steps, cfg.seed) == (7, 3)
    assert (cfg.rollout.group_size, cfg.rollout.engine) == (4, "hf")
    assert cfg.evaluation.measures == ("AP",)


@pytest.mark.parametrize("override", ["steps", "=3", "steps.more=1"])
def test_bad_overrides_are_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match="override"):
        load(written(tmp_path, "steps: 7\n"), [override])


@pytest.mark.parametrize("text", ["- a\n", "steps: [1\n", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"run\.yaml"):
        load(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml.*does not exist"):
        load(tmp_path / "nowhere.yaml")


def test_the_resolved_yaml_reads_back_as_the_same_run() -> None:
    cfg = parse({"algorithm": {"objective": {"kind": "clip", "high": 0.3}}}, origin="test")
    assert parse(yaml.safe_load(to_yaml(cfg)), origin="again") == cfg


def test_derived_numbers() -> None:
    cfg = RunConfig.model_validate(
        {"groups_per_step": 4, "steps": 10, "rollout": {"group_size": 8}}
    )
    numbers = derived(cfg)
    assert numbers["samples per step"] == "32 = 4 x 8"
    assert numbers["samples in all"] == "320"


def test_an_algorithm_is_chosen_with_the_parameters_of_its_kind() -> None:
    chosen = {
        "objective": {"kind": "gspo", "high": 0.001},
        "aggregation": {"kind": "constant", "length": 16},
        "kl": {"kind": "k3", "coefficient": 0.01},
    }
    cfg = parse({"algorithm": chosen}, origin="test").algorithm
    assert cfg.objective.model_dump() == {"kind": "gspo", "low": 3e-4, "high": 0.001}
    assert cfg.kl is not None
    told = r"algorithm\.objective\.cap: kind 'gspo' has no such key \(value 3\)"
    with pytest.raises(UserError, match=told) as caught:
        parse({"algorithm": {"objective": {"kind": "gspo", "cap": 3}}}, origin="test")
    assert "'algorithm.objective={kind: gspo}'" in str(caught.value)


def test_every_kind_of_the_schema_is_in_a_table_and_the_other_way_round() -> None:
    from rlpost.config.algorithm import AlgorithmConfig
    from rlpost.credit.assign import CREDIT
    from rlpost.credit.verl import SHAPINGS
    from rlpost.objective.aggregation import AGGREGATIONS
    from rlpost.objective.entropy import ENTROPY
    from rlpost.objective.importance_weights import CORRECTIONS
    from rlpost.objective.kl import PENALTIES
    from rlpost.objective.losses import OBJECTIVES
    from rlpost.objective.rejection_masks import REJECTIONS, SEQUENCE_MASKS

    tables = {
        "credit": CREDIT,
        "objective": OBJECTIVES,
        "aggregation": AGGREGATIONS,
        "correction": CORRECTIONS,
        "rejections": REJECTIONS,
        "sequence_mask": SEQUENCE_MASKS,
        "kl": PENALTIES,
        "entropy": ENTROPY,
        "shaping": SHAPINGS,
    }
    schema = AlgorithmConfig.model_json_schema()
    for name, table in tables.items():
        assert kinds(schema, schema["properties"][name]) == set(table), name


def kinds(schema: dict[str, Any], part: dict[str, Any]) -> set[str]:
    """Values of ``kind`` that ``part`` of a JSON schema allows."""
    if "$ref" in part:
        kind = schema["$defs"][part["$ref"].rpartition("/")[2]]["properties"]["kind"]
        return set(kind.get("enum", [])) | ({kind["const"]} if "const" in kind else set())
    arms = [
        *part.get("oneOf", []),
        *part.get("anyOf", []),
        *([part["items"]] if "items" in part else []),
    ]
    return {kind for arm in arms for kind in kinds(schema, arm)}
