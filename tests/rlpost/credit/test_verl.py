"""VERL's shaping: official numbers, its bounds, what it measures, and its memory."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from rlpost.credit.assign import CREDIT, group_mean
from rlpost.credit.effective_rank import RankDynamics, response_dynamics
from rlpost.credit.verl import RunningMeans, Verl, bonus, with_bonus
from rlpost.errors import CheckpointError, TrainingError
from rlpost.learner.learner import TorchLearner
from rlpost.tracking.metrics import metric
from rlpost.types import Sample
from tests.golden import golden, needs_golden
from tests.rlpost.learner.test_learner import REWARDS, SGD_LIKE, assert_same, weights
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

VERL = {"kind": "verl", "stride": 3}
RELEASED = {"add_reward_True": "adaptive", "add_reward_True_FixOne": "sum"}
"""Golden runs of the official code -> our mix."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


def official_measures() -> list[RankDynamics]:
    measures = golden()["verl_shaping"]["metrics"]
    names = ("Effective Rank", "Effective Rank diff", "Effective Rank diff 2")
    return [RankDynamics(*row) for row in zip(*(measures[name] for name in names), strict=True)]


def official_samples(step: dict[str, list[list[float]]]) -> list[Sample]:
    """The official [B, T] advantages without their padding."""
    case = golden()["verl_shaping"]
    lengths = [sum(row[case["prompt_len"] :]) for row in case["attention_mask"]]
    rows = [row[:length] for row, length in zip(step["adv0"], lengths, strict=True)]
    return [sample_of(row) for row in rows]


def sample_of(advantages_T: Sequence[float]) -> Sample:
    count = len(advantages_T)
    return Sample(
        prompt_ids=(1,),
        completion_ids=(2,) * count,
        logprobs_T=(-1.0,) * count,
        advantages_T=tuple(advantages_T),
    )


@needs_golden
@pytest.mark.parametrize(("key", "mix"), RELEASED.items())
def test_the_released_variant_equals_the_official_code_step_by_step(key, mix) -> None:
    """Its bonus went through bfloat16, so 8e-3; the running means did not."""
    verl = Verl(variant="released", mix=mix, debias=False)
    for step in golden()["verl_shaping"][key]:
        samples = official_samples(step)
        shaped, _ = verl.apply(samples, official_measures())
        for ours, theirs in zip(shaped, step["adv"], strict=True):
            expected = theirs[: len(ours.advantages_T)]
            assert ours.advantages_T == pytest.approx(expected, abs=8e-3)
        after = step["mids_after"]
        state = verl.state()
        assert state["rank"] == pytest.approx(after["Effective Rank"])
        assert state["velocity"] == pytest.approx(after["Effective Rank diff"])
        assert state["acceleration"] == pytest.approx(after["Effective Rank diff 2"])


@needs_golden
def test_response_level_shaping_equals_the_formula() -> None:
    case = golden()["verl_shaping"]["paper_formula_sequence_level_independent"]
    mids = case["mids"]
    usual = {
        "rank": mids["Effective Rank"],
        "velocity": mids["Effective Rank diff"],
        "acceleration": mids["Effective Rank diff 2"],
    }
    for dynamics, row in zip(official_measures(), case["out"], strict=True):
        assert bonus(dynamics, RankDynamics(**usual)) == pytest.approx(row["phi"], abs=1e-7)
    verl = Verl(debias=False)
    verl.restore({**usual, "steps": 3})
    samples = [sample_of([row["adv0"]] * 4) for row in case["out"]]
    shaped, metrics = verl.apply(samples, official_measures())
    for ours, row in zip(shaped, case["out"], strict=True):
        assert ours.advantages_T == pytest.approx([row["adv"]] * 4, abs=1e-7)
    raised = [row["adv"] - row["adv0"] for row in case["out"]]
    assert metrics["shaping/bonus"] == pytest.approx(sum(raised) / 4, abs=1e-7)


def test_the_bonus_by_hand() -> None:
    """Deviations of 0.5, -0.25 and 1; the mixes weigh the first two."""
    usual = RankDynamics(10.0, 2.0, 0.5)
    dynamics = RankDynamics(15.0, 1.5, 1.0)
    explore, exploit = math.tanh(0.5), math.tanh(-0.25)
    beta = 1 / (1 + math.exp(-2.0))
    adaptive = beta * explore + (1 - beta) * exploit
    assert bonus(dynamics, usual) == pytest.approx(adaptive)
    assert bonus(dynamics, usual, mix="equal") == pytest.approx((explore + exploit) / 2)
    assert bonus(dynamics, usual, mix="sum") == pytest.approx(explore + exploit)
    assert bonus(dynamics, usual, gain=1e-9) == pytest.approx((explore + exploit) / 2)
    far = RankDynamics(1e9, 2.0, 0.5)
    assert bonus(far, usual, bound=0.1, mix="sum") == pytest.approx(math.tanh(0.1))


@pytest.mark.parametrize("phi", [-1.0, 0.0, 0.2, 2.0])
def test_an_advantage_is_raised_by_half_of_itself_at_most(phi: float) -> None:
    for advantage in (-1.5, -0.1, 0.3, 2.0):
        shaped = with_bonus(advantage, phi, kappa=2.0)
        assert advantage <= shaped <= advantage + abs(advantage) / 2
        assert shaped * advantage > 0
        assert shaped == pytest.approx(advantage + max(0.0, min(phi, abs(advantage) / 2)))
    assert with_bonus(0.0, phi, kappa=2.0) == 0.0


def test_means_without_bias_start_at_the_first_step() -> None:
    plain, debiased = RunningMeans(rate=0.3, debias=False), RunningMeans(rate=0.3, debias=True)
    assert plain.usual() == (0, 0, 0)
    assert debiased.usual() is None
    step = RankDynamics(8.0, 2.0, -1.0)
    for means in (plain, debiased):
        means.add(step)
    assert plain.usual() == pytest.approx((2.4, 0.6, -0.3))
    assert debiased.usual() == pytest.approx(step)
    debiased.add(RankDynamics(16.0, 2.0, -1.0))
    assert debiased.usual()[0] == pytest.approx((0.7 * 0.3 * 8 + 0.3 * 16) / (1 - 0.49))


def test_the_first_step_has_nothing_to_compare_with() -> None:
    samples = [sample_of([1.0, 1.0])]
    dynamics = [RankDynamics(5.0, 1.0, 0.1)]
    assert Verl().apply(samples, dynamics).samples == samples
    biased = Verl(debias=False).apply(samples, dynamics).samples
    assert biased[0].advantages_T == (1.5, 1.5)


def dynamics_of(learner: TorchLearner, samples: Sequence[Sample]) -> list[RankDynamics]:
    """Read off the plain model, one sequence at a time."""
    model = learner.peft_model
    model.set_attn_implementation("eager")
    measured = []
    for sample in samples:
        ids = torch.tensor([sample.prompt_ids + sample.completion_ids])
        with torch.no_grad():
            states = model(ids, output_hidden_states=True).hidden_states[-1][0]
        predicting = states[len(sample.prompt_ids) - 1 : -1]
        measured.append(response_dynamics(predicting, stride=3))
    return measured


def test_measures_are_those_of_the_states_that_predict_each_token(folder: Path) -> None:
    """Whatever the packing, over all samples, those without credit and without tokens included."""
    learners = [
        tiny_learner(folder, shaping=VERL, tokens_per_batch=budget) for budget in (4096, 40)
    ]
    groups = random_groups(learners[0], REWARDS)
    rollouts = groups[0].rollouts
    silent = dataclasses.replace(rollouts[0].completion, token_ids=(), logprobs_T=(), versions_T=())
    nothing = dataclasses.replace(rollouts[0], completion=silent)
    groups[0] = dataclasses.replace(groups[0], rollouts=(nothing, *rollouts[1:]))
    samples = group_mean(groups)
    said = dynamics_of(tiny_learner(folder), [s for s in samples if s.completion_ids])
    assert len(said) == len(samples) - 1
    assert max(measure.velocity for measure in said) > 0
    for learner in learners:
        metrics = learner.step(groups)
        for k, name in enumerate(("mean", "velocity", "acceleration")):
            mean = sum(measure[k] for measure in said) / len(samples)
            assert metrics[f"effective_rank/{name}"] == pytest.approx(mean, abs=1e-4)


def test_a_shaped_step_trains_with_the_raised_advantages(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the learner does must be what it does on samples that were raised beforehand."""
    shaped = tiny_learner(folder, shaping={**VERL, "debias": False}, optim=SGD_LIKE)
    groups = random_groups(shaped, REWARDS)
    samples = group_mean(groups)
    verl = Verl(stride=3, debias=False)
    raised = verl.apply(samples, dynamics_of(tiny_learner(folder), samples)).samples
    assert raised != samples
    monkeypatch.setitem(CREDIT, "raised", lambda _: raised)
    plain = tiny_learner(folder, credit="raised", optim=SGD_LIKE)
    metrics = shaped.step(groups)
    plain.step(groups)
    assert_same(weights(shaped), weights(plain), atol=1e-11, rtol=1e-4)
    for name in metrics:
        metric(name)
    assert metrics["effective_rank/mean"] > 1
    assert metrics["shaping/bonus"] > 0


def test_constant_rewards_leave_the_parameters_untouched(folder: Path) -> None:
    learner = tiny_learner(folder, shaping=VERL)
    before = weights(learner)
    for step in range(3):
        metrics = learner.step(random_groups(learner, [[0.7] * 4, [0.1] * 3], seed=step))
    assert metrics["shaping/bonus"] == 0
    assert metrics["effective_rank/mean"] > 1
    assert_same(weights(learner), before, atol=0, rtol=0)


def test_a_restored_learner_continues_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    straight = tiny_learner(folder, shaping=VERL)
    steps = [random_groups(straight, REWARDS, seed=seed) for seed in range(4)]
    for groups in steps[:2]:
        straight.step(groups)
    straight.save(tmp_path)
    resumed = tiny_learner(folder, shaping=VERL)
    resumed.restore(tmp_path)
    for groups in steps[2:]:
        assert resumed.step(groups) == straight.step(groups)
    assert_same(weights(resumed), weights(straight), atol=0, rtol=0)
    with pytest.raises(CheckpointError, match="shaping"):
        tiny_learner(folder).restore(tmp_path)


def test_a_broken_policy_stops_the_run(folder: Path) -> None:
    learner = tiny_learner(folder, shaping=VERL)
    groups = random_groups(learner, REWARDS)
    next(iter(learner.trained_parameters().values())).data.fill_(math.nan)
    with pytest.raises(TrainingError, match="not finite"):
        learner.step(groups)
