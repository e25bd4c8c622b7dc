"""The driver with the reference engine and the real learner: the same numbers as in one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rlpost.loop import StepRecord, train
from rlpost.rollout.collect import Plan
from rlpost.rollout.engines.hf import HfEngine
from tests.fakes import LengthReward, NumberSource
from tests.runs import Diary, small_spec
from tests.tiny_learner import tiny_learner
from workers.train.driver import open_run
from workers.train.spec import CanarySpec, RunSpec

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


def real_spec(folder: Path, model: Path) -> RunSpec:
    spec = small_spec(folder, steps=3)
    return replace(
        spec,
        engine=partial(HfEngine, model),
        learner=partial(tiny_learner, model),
        canary=CanarySpec(prompt_ids=(1, 2, 3), completion_ids=(4, 5), tolerance=1e-4),
    )


def in_one_process(plan: Plan, model: Path) -> list[StepRecord]:
    records: list[StepRecord] = []
    train(
        plan=plan,
        source=NumberSource(),
        engine=HfEngine(model),
        reward=LengthReward(),
        learner=tiny_learner(model),
        observe=records.append,
    )
    return records


def adapter(plan: Plan) -> bytes:
    return (plan.policies / f"policy-v{plan.steps}" / "adapter_model.safetensors").read_bytes()


def test_max_lag_0_trains_the_same_weights_bit_for_bit(tmp_path: Path, tiny_model: Path) -> None:
    diary = Diary()
    spec = real_spec(tmp_path / "run", tiny_model)
    with open_run(spec, diary.observers) as driver:
        driver.train()
    alone = real_spec(tmp_path / "loop", tiny_model).plan
    expected = in_one_process(alone, tiny_model)
    assert [record.groups for record in diary.records] == [r.groups for r in expected]
    assert adapter(spec.plan) == adapter(alone)
    assert diary.kinds()["canary_passed"] == 4
