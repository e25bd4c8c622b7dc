"""Dynamic sampling: what is left out, what takes its place, and when a run gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlpost.errors import TrainingError
from rlpost.loop import StepRecord, train
from rlpost.rollout.collect import collect, ticket_at
from rlpost.rollout.dynamic_sampling import (
    DynamicSampling,
    check_budget,
    common_reward,
    is_left_out,
)
from rlpost.tracking.metrics import metric
from tests.example_run import group
from tests.fakes import CoarseReward, HashLearner, NumberSource, ScriptedEngine
from tests.runs import loop_records, small_spec, with_dynamic_sampling

NAN = float("nan")


@pytest.mark.parametrize(
    ("rewards", "left_out", "reward"),
    [
        ((0.0, 1.0), False, 0.0),
        ((0.7, 0.7), True, 0.7),
        ((NAN, 0.3), True, 0.3),
        ((NAN, NAN), True, None),
    ],
)
def test_which_groups_teach_nothing(
    rewards: tuple[float, ...], left_out: bool, reward: float | None
) -> None:
    of = group(0, rewards)
    assert is_left_out(of, DynamicSampling(max_ratio=2.0)) == left_out
    assert not is_left_out(of, None)
    assert common_reward(of) == reward


def test_a_step_holds_only_groups_with_contrast_and_loses_no_prompt(tmp_path: Path) -> None:
    records = loop_records(tmp_path, dynamic_sampling=True)
    groups = [group for record in records for group in record.groups]
    assert all(len(record.groups) == 6 for record in records)
    assert all(len(set(group.rewards_G)) == 2 for group in groups)
    trained = [group.ticket.index for group in groups]
    assert trained == sorted(set(trained))
    left_out = sum(record.metrics["sampling/filtered_groups"] for record in records)
    assert trained[-1] + 1 == len(trained) + left_out
    assert left_out > 3


def test_its_metrics_by_hand(tmp_path: Path) -> None:
    record = loop_records(tmp_path, steps=1, dynamic_sampling=True)[0]
    last = record.groups[-1].ticket.index
    engine = ScriptedEngine()
    spec = small_spec(tmp_path)
    tickets = [ticket_at(i, spec.plan, spec.source) for i in range(last + 1)]
    tried = collect(tickets, plan=spec.plan, engine=engine, reward=CoarseReward())
    everything = [reward for group in tried for reward in group.rewards_G]
    assert record.metrics["sampling/kept_fraction"] == 6 / (last + 1)
    assert record.metrics["sampling/reward_mean"] == pytest.approx(
        sum(everything) / len(everything)
    )
    for name in record.metrics:
        metric(name)


def test_a_run_goes_on_behind_its_last_group(tmp_path: Path) -> None:
    whole = loop_records(tmp_path / "whole", dynamic_sampling=True)
    spec = with_dynamic_sampling(small_spec(tmp_path / "rest"))
    records: list[StepRecord] = []
    learner = HashLearner()
    for record in whole[:2]:
        learner.step(record.groups)
    train(
        plan=spec.plan,
        source=NumberSource(),
        engine=ScriptedEngine(),
        reward=CoarseReward(),
        learner=learner,
        observe=records.append,
        start=whole[1].groups[-1].ticket.index + 1,
    )
    assert records == whole[2:]


def test_a_run_that_finds_too_little_stops_and_says_what_it_found(tmp_path: Path) -> None:
    def always_wrong(*_: object) -> object:
        return group(0, (0.0,)).rollouts[0].score

    spec = with_dynamic_sampling(small_spec(tmp_path), max_ratio=1.5)
    found = r"of 6 prompts tried, 6 gave .*reward \(0 in 6\), more than the 3 that .*max_ratio 1.5"
    with pytest.raises(TrainingError, match=found):
        train(
            plan=spec.plan,
            source=NumberSource(),
            engine=ScriptedEngine(),
            reward=always_wrong,  # type: ignore[arg-type]
            learner=HashLearner(),
            observe=lambda record: None,
        )


def test_the_budget_is_exact() -> None:
    rule = DynamicSampling(max_ratio=1.5)
    budget = {"rule": rule, "groups_per_step": 4, "num_kept": 1, "doing": "sampling"}
    check_budget([0.0, 1.0], **budget)  # type: ignore[arg-type]
    check_budget([0.0] * 4, steps=2, **budget)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"of 4 prompts tried, 3 .*\(0 in 2, none in 1\)"):
        check_budget([0.0, None, 0.0], **budget)  # type: ignore[arg-type]
