"""SIGKILL of each process in mid-run: nothing is lost, nothing is trained twice."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer

import pytest
import ray

from rlpost.checkpoint import latest_checkpoint
from rlpost.errors import EngineError, TrainingError
from rlpost.loop import StepRecord
from rlpost.protocols import Engine
from tests.fakes import FaultyReward, HashLearner, ScriptedEngine
from tests.runs import FAST, Diary, loop_records, small_spec
from workers.train.driver import open_run
from workers.train.spec import Resources, RunSpec

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def run(spec: RunSpec, diary: Diary) -> None:
    with open_run(spec, diary.observers) as driver:
        driver.train()


def no_engine(why: str) -> Engine:
    raise MemoryError(why)


@pytest.mark.parametrize("max_lag", [0, 1])
def test_sigkill_of_rollout_workers_loses_and_doubles_nothing(tmp_path: Path, max_lag: int) -> None:
    diary = Diary()
    engine = ScriptedEngine(seconds_per_call=0.02, kills=frozenset({"q3", "q14"}), markers=tmp_path)
    spec = small_spec(
        tmp_path / "run",
        engine=engine,
        streaming=replace(FAST, max_lag=max_lag),
        resources=Resources(rollout_workers=2),
    )
    run(spec, diary)
    assert diary.kinds()["worker_died"] == 2
    assert diary.trained == dict.fromkeys(range(5 * 6), 1)
    if max_lag == 0:
        expected = loop_records(tmp_path / "loop")
        assert [r.groups for r in diary.records] == [r.groups for r in expected]


def test_a_prompt_that_always_kills_is_quarantined_alone(tmp_path: Path) -> None:
    diary = Diary()
    run(small_spec(tmp_path, steps=2, engine=ScriptedEngine(kills=frozenset({"q3"}))), diary)
    given_up = [fields["index"] for kind, fields in diary.events if kind == "prompt_quarantined"]
    assert given_up == [3]
    assert diary.trained == dict.fromkeys([i for i in range(13) if i != 3], 1)


def test_workers_that_die_again_and_again_stop_the_run(tmp_path: Path) -> None:
    everything = frozenset(f"q{i}" for i in range(100))
    spec = small_spec(
        tmp_path,
        engine=ScriptedEngine(kills=everything),
        streaming=replace(FAST, max_restarts=2),
    )
    with pytest.raises(TrainingError, match=r"rollout workers died 3 times.*rolling out prompts"):
        run(spec, Diary())


def test_an_engine_that_never_starts_is_not_tried_again(tmp_path: Path) -> None:
    spec = replace(small_spec(tmp_path), engine=partial(no_engine, "no memory"))
    with pytest.raises(EngineError, match=r"did not start.*MemoryError.*no memory"):
        run(spec, Diary())


@pytest.mark.parametrize("seconds_into_step", [0.0, 0.2])
def test_sigkill_of_the_queue_redoes_what_it_held(tmp_path: Path, seconds_into_step: float) -> None:
    diary = Diary()
    spec = small_spec(
        tmp_path,
        engine=ScriptedEngine(seconds_per_call=0.05),
        learner=HashLearner(seconds_per_step=0.6),
        streaming=replace(FAST, max_lag=1),
    )

    def kill_queue_after_step_2(record: StepRecord) -> None:
        diary.records.append(record)
        if record.step == 2:
            Timer(seconds_into_step, ray.kill, [driver.queue.actor]).start()

    observers = replace(diary.observers, step=kill_queue_after_step_2)
    with open_run(spec, observers) as driver:
        driver.train()
    assert [f["worker"] for kind, f in diary.events if kind == "worker_died"] == ["queue"]
    assert diary.trained == dict.fromkeys(range(5 * 6), 1)


def test_sigkill_of_the_learner_stops_the_run_which_can_go_on(tmp_path: Path) -> None:
    first, second = Diary(), Diary()
    spec = small_spec(tmp_path / "run", steps=6, learner=HashLearner(dies_at=4))
    with pytest.raises(TrainingError, match=r"learner was lost at step 4.*--resume"):
        run(spec, first)
    checkpoint = latest_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    assert checkpoint.step == 2
    healthy = replace(spec, learner=HashLearner)
    with open_run(healthy, second.observers, resume=checkpoint) as driver:
        driver.train()
    expected = loop_records(tmp_path / "loop", steps=6)
    assert [r.groups for r in second.records] == [r.groups for r in expected[2:]]


@pytest.mark.parametrize("reward_workers", [0, 1])
def test_a_prompt_that_cannot_be_scored_is_quarantined(tmp_path: Path, reward_workers: int) -> None:
    diary = Diary()
    spec = replace(
        small_spec(tmp_path, steps=2, resources=Resources(reward_workers=reward_workers)),
        reward=partial(FaultyReward, broken=frozenset({"q5"})),
    )
    run(spec, diary)
    assert diary.kinds()["reward_failed"] == 3
    assert diary.trained == dict.fromkeys([i for i in range(13) if i != 5], 1)


def test_a_broken_reward_stops_the_run_and_says_why(tmp_path: Path) -> None:
    spec = replace(
        small_spec(tmp_path, streaming=replace(FAST, max_quarantined=3)),
        reward=partial(FaultyReward, broken=frozenset(f"q{i}" for i in range(100))),
    )
    with pytest.raises(TrainingError, match=r"more than the budget of 3.*no reward for q"):
        run(spec, Diary())


def test_a_reward_that_hangs_costs_one_attempt(tmp_path: Path) -> None:
    diary = Diary()
    spec = replace(
        small_spec(
            tmp_path / "run",
            steps=2,
            resources=Resources(reward_workers=1, reward_timeout_s=2.0),
        ),
        reward=partial(FaultyReward, hanging=frozenset({"q4"}), marker=tmp_path / "was-there"),
    )
    run(spec, diary)
    assert diary.kinds()["reward_failed"] >= 1
    assert diary.trained == dict.fromkeys(range(12), 1)


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    diary = Diary()
    spec = replace(
        small_spec(tmp_path / "run", steps=2, streaming=replace(FAST, stall_s=20)),
        reward=partial(FaultyReward, hanging=frozenset({"q4"}), marker=tmp_path / "was-there"),
    )
    run(spec, diary)
    assert diary.kinds()["worker_died"] == 1
    assert diary.trained == dict.fromkeys(range(12), 1)
