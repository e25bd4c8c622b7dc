"""An adapter in its run folder is read with the prompts that it was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from rankers.errors import DataError
from rankers.methods.by_name import RerankerSpec, decide
from rankers.model_path import resolve
from rlpost.config import parse
from rlpost.serving.model_spec import located
from rlpost.serving.trained_prompts import trained


def adapter_of_run(folder: Path, place: str, task: dict[str, object]) -> Path:
    """An adapter on a warm-started model, whose name says nothing."""
    base = folder / "warm-start" / "ac28aba64db2"
    shutil.copytree(resolve("tiny-ranker"), base)
    adapter = folder / "run" / place
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    cfg = parse({"task": task}, origin="test")
    (folder / "run" / "config.yaml").write_text(yaml.safe_dump(cfg.model_dump(mode="json")))
    return adapter


@pytest.mark.parametrize(
    ("task", "template", "method"),
    [
        ({"kind": "rerank"}, "compact", "listwise"),
        ({"kind": "rerank", "template": "rankgpt"}, "rankgpt", "listwise"),
        ({"kind": "rank_r1"}, "rank_r1", "rank-r1"),
        ({"kind": "rank_r1", "version": "0.2"}, "rank_r1_0.2", "rank-r1"),
        ({"kind": "iranker"}, "iranker", "iranker"),
    ],
)
@pytest.mark.parametrize("place", ["policies/policy-v3", "checkpoints/step-000001/learner/adapter"])
def test_its_run_tells(
    tmp_path: Path, place: str, task: dict[str, object], template: str, method: str
) -> None:
    adapter = adapter_of_run(tmp_path, place, task)
    prompts = trained(adapter)
    assert prompts is not None
    assert prompts.template == template
    model = located(str(adapter), None, {}, None)
    assert decide(RerankerSpec(method=method, model=model)).template == template
    other = RerankerSpec(method="listwise", model=model, template="rank_zephyr")
    assert decide(other).template == "rank_zephyr"  # what the user says goes first


def test_elsewhere_the_user_has_to_tell(tmp_path: Path) -> None:
    adapter = adapter_of_run(tmp_path, "policies/policy-v3", {"kind": "rerank"})
    moved = shutil.copytree(adapter, tmp_path / "moved" / "a" / "b" / "c" / "d")
    assert trained(moved) is None
    with pytest.raises(DataError, match="say with --template"):
        decide(RerankerSpec(method="listwise", model=located(str(moved), None, {}, None)))
