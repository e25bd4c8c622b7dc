"""The driver against the single-process specification, and with learning and sampling at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.checkpoint import latest_checkpoint
from rlpost.errors import AdapterError, TrainingError
from rlpost.loop import StepRecord
from rlpost.protocols import BothWays
from rlpost.types import PolicyRef, Sampling
from tests.fakes import HashLearner, ScriptedEngine
from tests.runs import FAST, Diary, loop_records, small_spec
from workers.train.driver import open_run
from workers.train.spec import Resources

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.mark.parametrize("rollout_workers", [1, 2])
def test_max_lag_0_equals_the_loop_bit_for_bit(tmp_path: Path, rollout_workers: int) -> None:
    diary = Diary()
    spec = small_spec(tmp_path / "run", resources=Resources(rollout_workers=rollout_workers))
    with open_run(spec, diary.observers) as driver:
        driver.train()
    expected = loop_records(tmp_path / "loop")
    assert [record.groups for record in diary.records] == [r.groups for r in expected]
    for record, reference in zip(diary.records, expected, strict=True):
        assert record.step == reference.step
        assert {name: record.metrics[name] for name in reference.metrics} == reference.metrics


def test_max_lag_1_overlaps_and_never_exceeds_the_lag(tmp_path: Path) -> None:
    diary = Diary()
    spec = small_spec(
        tmp_path,
        steps=6,
        engine=ScriptedEngine(seconds_per_call=0.1),
        learner=HashLearner(seconds_per_step=0.3),
        streaming=replace(FAST, max_lag=1),
    )
    with open_run(spec, diary.observers) as driver:
        driver.train()
    assert diary.trained == dict.fromkeys(range(6 * 6), 1)
    lags = [record.step - 1 - group.version for record in diary.records for group in record.groups]
    assert set(lags) == {0, 1}
    assert diary.overlap("rollout-0", "learner") > 0.5


def test_max_lag_0_never_overlaps(tmp_path: Path) -> None:
    diary = Diary()
    spec = small_spec(
        tmp_path,
        steps=3,
        engine=ScriptedEngine(seconds_per_call=0.05),
        learner=HashLearner(seconds_per_step=0.05),
    )
    with open_run(spec, diary.observers) as driver:
        driver.train()
    assert diary.overlap("rollout-0", "learner") == 0
    assert all(record.metrics["staleness/max"] == 0 for record in diary.records)


def test_evaluation_is_spread_over_workers_and_comes_back_in_order(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, resources=Resources(rollout_workers=2))
    prompts = [spec.source.prompt(index) for index in range(11)]
    seeds = [[index] for index in range(11)]
    sampling = Sampling(temperature=0.0, max_tokens=4)
    with open_run(spec, Diary().observers) as driver:
        answers = driver.evaluate(prompts, seeds_P_G=seeds, sampling=sampling, prompts_per_call=2)
    assert answers == ScriptedEngine().generate(prompts, seeds_P_G=seeds, sampling=sampling)


def test_weights_that_do_not_arrive_stop_the_run(tmp_path: Path) -> None:
    diary = Diary()
    spec = small_spec(tmp_path, learner=HashLearner(forgets_to_publish=True))
    with (
        pytest.raises(TrainingError, match="canary: engine and learner differ"),
        open_run(spec, diary.observers) as driver,
    ):
        driver.train()
    assert diary.kinds()["canary_failed"] == 1


class UnfitEngine(ScriptedEngine):
    """No adapter ever fits."""

    def load(self, policy: PolicyRef) -> None:
        raise AdapterError(f"{policy.path} holds tensors that are not LoRA factors")


def refusing_learner() -> HashLearner:
    raise UserError("BertLMHeadModel cannot be trained here")


class SlowLearner(HashLearner):
    """Runs padded rows."""

    why_not_packed = "the learner runs padded rows"

    def score_both_ways(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> BothWays:
        scores = tuple(self.score(prompt_ids, completion_ids))
        return BothWays(tuple(s + 0.5 for s in scores), scores)


def test_an_adapter_that_never_fits_is_loaded_once(tmp_path: Path) -> None:
    diary = Diary()
    spec = replace(small_spec(tmp_path), engine=UnfitEngine)
    with (
        pytest.raises(AdapterError, match="policy-v0 holds tensors that are not LoRA factors"),
        open_run(spec, diary.observers),
    ):
        pass
    assert diary.kinds()["worker_started"] == 1
    assert "worker_died" not in diary.kinds()


def test_a_model_that_the_learner_refuses_starts_no_engine(tmp_path: Path) -> None:
    diary = Diary()
    spec = replace(small_spec(tmp_path), learner=refusing_learner)
    with (
        pytest.raises(UserError, match=r"^BertLMHeadModel cannot be trained here$"),
        open_run(spec, diary.observers),
    ):
        pass
    assert "worker_started" not in diary.kinds()


def test_batches_that_change_a_sequence_are_told_from_a_failed_publication(tmp_path: Path) -> None:
    diary = Diary()
    spec = replace(small_spec(tmp_path), learner=SlowLearner)
    with (
        pytest.raises(TrainingError, match=r"canary: the learner differs from itself by 0\.5 nats"),
        open_run(spec, diary.observers),
    ):
        pass
    assert diary.kinds()["learner_not_packed"] == 1


def test_old_policies_are_pruned(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, steps=8)
    with open_run(spec, Diary().observers) as driver:
        driver.train()
    left = sorted(folder.name for folder in spec.plan.policies.iterdir())
    assert left == ["policy-v6", "policy-v7", "policy-v8"]


def test_a_run_larger_than_the_cluster_is_refused(tmp_path: Path) -> None:
    spec = small_spec(tmp_path, resources=Resources(rollout_workers=64))
    with (
        pytest.raises(UserError, match=r"needs 65 CPUs for 64 rollout workers.*has 4"),
        open_run(spec, Diary().observers),
    ):
        pass


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    first, second = Diary(), Diary()
    spec = small_spec(tmp_path / "run", steps=6, checkpoint_every=100)

    def interrupt_in_step_3(record: StepRecord) -> None:
        first.records.append(record)
        if record.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    observers = replace(first.observers, step=interrupt_in_step_3)
    with pytest.raises(KeyboardInterrupt), open_run(spec, observers) as driver:
        driver.train()
    checkpoint = latest_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    with open_run(spec, second.observers, resume=checkpoint) as driver:
        driver.train()
    expected = loop_records(tmp_path / "loop", steps=6)
    kept = [record for record in first.records if record.step <= checkpoint.step]
    assert [r.groups for r in [*kept, *second.records]] == [r.groups for r in expected]
    assert second.final_loss == expected[-1].metrics["loss/policy"]
