"""Dynamic sampling across processes: equal to the loop, and nothing is lost or trained twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from rlpost.checkpoint import latest_checkpoint
from rlpost.errors import TrainingError
from rlpost.rollout.collect import collect
from rlpost.streaming.messages import serialize
from rlpost.types import Completion, Prompt, Score
from tests.fakes import CoarseReward, HashLearner, ScriptedEngine
from tests.runs import FAST, Diary, loop_records, small_spec, with_dynamic_sampling
from workers.train.dispatch import PromptDispatcher
from workers.train.driver import open_run
from workers.train.nodes import Nodes
from workers.train.rollout import PromptResult, WorkReport
from workers.train.rollout_pool import JobResult
from workers.train.spec import Resources, RunSpec

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def run(spec: RunSpec, diary: Diary) -> None:
    with open_run(spec, diary.observers) as driver:
        driver.train()


def filtered(diary: Diary) -> Counter[object]:
    return Counter(fields["index"] for kind, fields in diary.events if kind == "group_filtered")


class SameForAll:
    """Every answer is right."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(total=1.0)


def test_max_lag_0_equals_the_loop_also_when_the_learner_dies(tmp_path: Path) -> None:
    first, second = Diary(), Diary()
    spec = with_dynamic_sampling(
        small_spec(tmp_path / "run", steps=6, resources=Resources(rollout_workers=2))
    )
    with pytest.raises(TrainingError, match="learner was lost at step 4"):
        run(replace(spec, learner=lambda: HashLearner(dies_at=4)), first)
    checkpoint = latest_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    assert checkpoint.step == 2
    with open_run(spec, second.observers, resume=checkpoint) as driver:
        driver.train()
    expected = loop_records(tmp_path / "loop", steps=6, dynamic_sampling=True)
    records = first.records[:2] + second.records
    assert [r.groups for r in records] == [r.groups for r in expected]
    for record, reference in zip(records, expected, strict=True):
        assert {name: record.metrics[name] for name in reference.metrics} == reference.metrics


def test_max_lag_1_with_dying_workers_settles_every_prompt_once(tmp_path: Path) -> None:
    diary = Diary()
    engine = ScriptedEngine(seconds_per_call=0.02, kills=frozenset({"q3", "q14"}), markers=tmp_path)
    spec = with_dynamic_sampling(
        small_spec(
            tmp_path / "run",
            steps=6,
            engine=engine,
            streaming=replace(FAST, max_lag=1),
            resources=Resources(rollout_workers=2),
        )
    )
    run(spec, diary)
    assert diary.kinds()["worker_died"] == 2
    assert sum(diary.trained.values()) == 6 * 6
    settled = diary.trained + filtered(diary)
    assert settled == dict.fromkeys(range(len(settled)), 1)
    assert all(len(set(g.rewards_G)) == 2 for record in diary.records for g in record.groups)
    lags = {r.step - 1 - g.version for r in diary.records for g in r.groups}
    assert max(lags) <= 1


def test_a_task_without_contrast_stops_the_run(tmp_path: Path) -> None:
    diary = Diary()
    spec = replace(with_dynamic_sampling(small_spec(tmp_path)), reward=SameForAll)
    with pytest.raises(TrainingError, match=r"gave completions of equal reward \(1 in 1[34]\)"):
        run(spec, diary)
    assert diary.records == []


def test_a_group_that_a_lost_worker_had_put_stays(tmp_path: Path) -> None:
    """Sampled again under a newer policy it has no contrast, but the first attempt counts."""
    diary = Diary()
    spec = with_dynamic_sampling(small_spec(tmp_path, streaming=replace(FAST, max_lag=1)))
    stream = PromptDispatcher(spec, diary.observers, nodes=Nodes(wait_s=30), resume=None)
    job, *_ = stream.admit(0)
    first, second = job.args[0]
    engine, reward = ScriptedEngine(), CoarseReward()
    (group,) = collect([first], plan=spec.plan, engine=engine, reward=reward)
    assert stream.queue.put([serialize(group)]) == ["ok"]
    outcomes = tuple(
        PromptResult(index=ticket.index, attempt=0, answer="filtered", reward=1.0)
        for ticket in (first, second)
    )
    report = WorkReport(outcomes=outcomes, timestamps=(0.0, 0.0, 0.0, 0.0))
    stream.job_done(JobResult(job=job, worker="rollout-0", began=0.0, value=report))
    stream.job_done(JobResult(job=job, worker="rollout-0", began=0.0, value=report))
    assert filtered(diary) == {second.index: 1}
    assert stream.filtered_rewards == [1.0]
    assert stream.queue.stats().waiting == 1
    ray.kill(stream.queue.actor)
