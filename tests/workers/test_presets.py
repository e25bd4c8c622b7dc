"""Presets train the shipped model: two steps in one process, no Ray."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlpost.config import load
from rlpost.loop import StepRecord, train
from rlpost.tasks.by_name import prepare
from tests.paths import REPO
from tests.small_beir import small_beir
from tests.small_movielens import small_movielens
from workers.train.run_spec import run_spec

QUICK = (
    "rollout.engine=hf",
    "data.first_stage=bm25s",
    "data.eval_queries=2",
    "model.warm_start.steps=0",
    "model.lora.rank=4",
    "rollout.prompts_per_call=4",
    "groups_per_step=4",
    "steps=2",
)
SMALL = {
    "rerank": ("task.candidates=4", "task.passage_tokens=12", "rollout.max_new_tokens=10"),
    "recommend": (
        "task.catalogue=4",
        "task.list_length=2",
        "task.history=2",
        "rollout.max_new_tokens=32",
    ),
    "rewrite": ("task.candidates=4", "rollout.max_new_tokens=24", "rollout.temperature=2.0"),
}
BESIDE = (
    "task.reward.url=null",
    "task.reward.method=listwise",
    "task.reward.model=tiny-ranker",
    "task.reward.backend=hf",
)
"""The reranker in the same process, where the preset names the URL of one."""
PRESETS = [
    path
    for path in sorted((REPO / "configs").glob("*.yaml"))
    if load(path).task.kind in SMALL and path.stem not in ("smoke", "rerank_beir")
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("presets")
    beir = small_beir(folder / "beir")
    return {
        "rerank": beir,
        "rewrite": beir,
        "recommend": small_movielens(folder / "movielens"),
    }


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_trains(path: Path, data: dict[str, Path], tmp_path: Path) -> None:
    kind = load(path).task.kind
    served = BESIDE if "url:" in path.read_text() else ()
    cfg = load(
        path, [*QUICK, *SMALL[kind], *served, f"data.path={data[kind]}", f"output={tmp_path}"]
    )
    prepared = prepare(cfg, say=lambda _: None)
    spec = run_spec(
        cfg,
        prepared=prepared,
        model_path=REPO / "rankers" / "assets" / "tiny-ranker",
        run_dir=cfg.run_dir,
    )
    records: list[StepRecord] = []
    train(
        plan=spec.plan,
        source=spec.source,
        engine=spec.engine(),
        reward=spec.reward(),
        learner=spec.learner(),
        observe=records.append,
    )
    metrics = [value for record in records for value in record.metrics.values()]
    assert len(records) == 2
    assert all(math.isfinite(value) for value in metrics)
    first, last = (weights(spec.plan.policies / f"policy-v{v}") for v in (0, 2))
    assert any(not torch.equal(first[name], last[name]) for name in first)


def weights(policy: Path) -> dict[str, torch.Tensor]:
    return load_file(policy / "adapter_model.safetensors")
