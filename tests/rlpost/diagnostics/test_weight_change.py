"""What training changed, measured on merged weights: by hand after steps of a real learner."""

from pathlib import Path

import pytest
import torch

from rlpost.diagnostics.weight_change import UpdateDiagnostics
from rlpost.tracking.metrics import metric
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

REWARDS = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0, 0.5]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


def test_an_untrained_adapter_changed_nothing(folder: Path) -> None:
    report = UpdateDiagnostics(tiny_learner(folder).peft_model).measure()
    assert report["update/unchanged_fp32"] == report["update/unchanged_bf16"] == 1
    assert report["update/adapter_unchanged_fp32"] == 1
    assert report["update/rank"] == report["update/relative_norm"] == 0
    assert not any("overlap" in name for name in report)


def test_after_steps_the_numbers_are_those_of_the_merged_model(folder: Path) -> None:
    """peft merges here; shares and ranks are taken from whole matrices."""
    learner = tiny_learner(folder)
    diagnostics = UpdateDiagnostics(learner.peft_model)
    reports = []
    for seed in range(3):
        learner.step(random_groups(learner, REWARDS, seed=seed))
        reports.append(diagnostics.measure())
    for name in reports[-1]:
        metric(name)
    base = tiny_learner(folder).peft_model.unload().state_dict()
    adapted = [n for n in base if n.endswith("proj.weight")]
    merged = learner.peft_model.merge_and_unload().state_dict()
    total = sum(base[n].numel() for n in adapted)
    bf16 = sum(int((base[n].bfloat16() == merged[n].bfloat16()).sum()) for n in adapted)
    assert reports[-1]["update/unchanged_bf16"] == pytest.approx(bf16 / total, abs=1e-3)
    assert reports[-1]["update/unchanged_fp32"] < bf16 / total
    ranks = [int(torch.linalg.matrix_rank(merged[n] - base[n], rtol=1e-4)) for n in adapted]
    assert reports[-1]["update/rank"] == pytest.approx(sum(ranks) / len(ranks), abs=0.2)
    assert reports[-1]["update/rank"] <= 4
    assert "update/overlap_bf16" not in reports[0]
    for report in reports[1:]:
        assert 0 < report["update/overlap_chance_bf16"] < report["update/overlap_bf16"] <= 1


def test_the_learner_measures_every_so_many_steps(folder: Path, tmp_path: Path) -> None:
    learner = tiny_learner(folder, diagnostics_every=2)
    groups = random_groups(learner, REWARDS)
    names = [{n for n in learner.step(groups) if n.startswith("update/")} for _ in range(4)]
    assert [bool(found) for found in names] == [False, True, False, True]
    assert "update/overlap_bf16" in names[3]
    learner.save(tmp_path)
    resumed = tiny_learner(folder, diagnostics_every=2)
    resumed.restore(tmp_path)
    for _ in range(2):
        expected, ours = learner.step(groups), resumed.step(groups)
    shared = {name: value for name, value in expected.items() if "overlap" not in name}
    assert ours == shared
