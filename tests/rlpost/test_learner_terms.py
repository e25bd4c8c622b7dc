"""Entropy bonus, KL in the reward and masks inside a step; steps that teach nothing."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from rlpost.errors import CheckpointError
from rlpost.learner.learner import TorchLearner
from rlpost.learner.optim import OptimSettings
from rlpost.tracking.metrics import metric
from rlpost.types import Group
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

REWARDS = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0, 0.5]]
CONSTANT = [[0.7] * 3, [0.1] * 4]
SGD_LIKE = OptimSettings(learning_rate=1.0, betas=(0.0, 0.0), epsilon=1e6, max_grad_norm=1e9)
ADAPTIVE = {
    "kind": "adaptive",
    "target": 9.0,
    "delta": 0.5,
    "initial": 0.0,
    "low": 0.0,
    "high": 1.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def stale(folder: Path) -> list[Group]:
    """Groups whose behaviour policy is two steps away from the base."""
    other = tiny_learner(folder)
    for seed in (7, 8):
        other.step(random_groups(other, REWARDS, seed=seed))
    return random_groups(other, REWARDS)


def weights(learner: TorchLearner) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in learner.trained_parameters().items()}


def moved_by(learner: TorchLearner, groups: list[Group]) -> dict[str, torch.Tensor]:
    before = weights(learner)
    learner.step(groups)
    return {name: after - before[name] for name, after in weights(learner).items()}


def assert_same(ours: dict[str, Any], theirs: dict[str, Any], **tolerance: float) -> None:
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], **tolerance)


def test_the_gradient_of_the_entropy_bonus_equals_a_literal_implementation(folder: Path) -> None:
    """Rewards are constant, so that nothing else moves; entropies from dense logits."""
    bonus = {"kind": "fixed", "coefficient": 0.3}
    learner = tiny_learner(folder, optim=SGD_LIKE, tokens_per_batch=64, entropy=bonus)
    groups = random_groups(learner, CONSTANT)
    reference = tiny_learner(folder)
    model = reference.peft_model
    model.set_attn_implementation("eager")
    entropies = []
    for group in groups:
        for rollout in group.rollouts:
            prompt, answer = group.ticket.prompt.token_ids, rollout.completion.token_ids
            logp = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            entropies.append(-(logp.exp() * logp).sum(-1)[len(prompt) - 1 : -1])
    (-0.3 * torch.cat(entropies).mean()).backward()
    expected = {name: -p.grad / 1e6 for name, p in reference.trained_parameters().items()}
    assert max(t.abs().max() for t in expected.values()) > 1e-9
    assert_same(moved_by(learner, groups), expected, atol=1e-12, rtol=2e-3)


def test_an_entropy_bonus_raises_entropy(folder: Path) -> None:
    learner = tiny_learner(folder, entropy={"kind": "fixed", "coefficient": 1.0})
    groups = random_groups(learner, CONSTANT)
    entropies = [learner.step(groups)["entropy"] for _ in range(6)]
    assert entropies[-1] > entropies[0] + 0.05


def test_the_adaptive_bonus_goes_on_after_a_restore(folder: Path, tmp_path: Path) -> None:
    learner = tiny_learner(folder, entropy=ADAPTIVE)
    groups = random_groups(learner, REWARDS)
    applied = [learner.step(groups)["entropy/coefficient"] for _ in range(2)]
    assert applied == [0.0, 0.5]
    learner.save(tmp_path)
    resumed = tiny_learner(folder, entropy=ADAPTIVE)
    resumed.restore(tmp_path)
    assert resumed.step(groups) == learner.step(groups)
    assert_same(weights(resumed), weights(learner), atol=0, rtol=0)
    other = tiny_learner(folder)
    before = weights(other)
    with pytest.raises(CheckpointError, match=r"remembers \['entropy'\] of its algorithm"):
        other.restore(tmp_path)
    assert_same(weights(other), before, atol=0, rtol=0)


def test_kl_in_the_reward_is_a_lower_reward(folder: Path) -> None:
    """Equal to a learner that is given rewards less the penalty, computed by hand."""
    optim = dataclasses.replace(SGD_LIKE, epsilon=1.0)
    kl = {"kind": "k1", "coefficient": 0.2, "where": "reward"}
    penalised, by_hand, plain = (
        tiny_learner(folder, optim=optim, kl=choice) for choice in (kl, None, None)
    )
    base = tiny_learner(folder)
    first = random_groups(base, REWARDS)
    for learner in (penalised, by_hand, plain):
        learner.step(first)
    groups = random_groups(penalised, REWARDS, seed=3)
    moved = moved_by(penalised, groups)
    assert_same(moved, moved_by(by_hand, less(groups, base)), atol=1e-6, rtol=1e-2)
    unpenalised = moved_by(plain, groups)
    assert any(not torch.allclose(moved[n], unpenalised[n], rtol=0.2) for n in moved)


def less(groups: list[Group], base: TorchLearner) -> list[Group]:
    """Rewards less 0.2 times the k1 estimate of the divergence from ``base``."""
    lowered = []
    for group in groups:
        rollouts = []
        for rollout in group.rollouts:
            completion = rollout.completion
            reference = base.score(group.ticket.prompt.token_ids, completion.token_ids)
            cost = 0.2 * (sum(completion.logprobs_T) - sum(reference))
            score = dataclasses.replace(rollout.score, total=rollout.score.total - cost)
            rollouts.append(dataclasses.replace(rollout, score=score))
        lowered.append(dataclasses.replace(group, rollouts=tuple(rollouts)))
    return lowered


@pytest.mark.parametrize("where", ["loss", "reward"])
def test_a_constant_reward_teaches_nothing_but_a_penalty_in_the_loss(
    folder: Path, where: str
) -> None:
    """After a real step AdamW has momentum and decay: no update may be made at all."""
    learner = tiny_learner(
        folder,
        kl={"kind": "k2", "coefficient": 0.1, "where": where},
        optim=OptimSettings(learning_rate=1e-2, weight_decay=0.1, max_grad_norm=1e9),
    )
    learner.step(random_groups(learner, REWARDS))
    before = weights(learner)
    metrics = learner.step(random_groups(learner, CONSTANT))
    same = all(torch.equal(tensor, before[n]) for n, tensor in weights(learner).items())
    assert same == (where == "reward")
    assert metrics["updates/skipped"] == (where == "reward")
    assert learner.version == 2


def test_masks_and_bonus_together_do_not_depend_on_the_token_budget(
    folder: Path, stale: list[Group]
) -> None:
    choices = {
        "correction": {"kind": "truncated", "normalise": True},
        "rejections": [{"kind": "m2po", "threshold": 0.04}],
        "rejected": "absent",
        "top_entropy": 0.5,
        "sequence_mask": {"kind": "drift", "threshold": 0.05},
        "entropy": {"kind": "fixed", "coefficient": 0.05},
        "kl": {"kind": "k3", "coefficient": 0.05},
    }
    steps, reports = [], []
    for budget in (4096, 33):
        learner = tiny_learner(
            folder,
            optim=dataclasses.replace(SGD_LIKE, epsilon=1.0),
            tokens_per_batch=budget,
            **choices,
        )
        before = weights(learner)
        reports.append(learner.step(stale))
        steps.append({n: after - before[n] for n, after in weights(learner).items()})
    assert_same(steps[1], steps[0], atol=1e-6, rtol=1e-3)
    assert reports[1] == pytest.approx(reports[0], rel=1e-3, abs=1e-5)
    for name in reports[0]:
        metric(name)
    assert 0 < reports[0]["rejection/kept"] < 1
    assert 0 < reports[0]["correction/ess"] <= 1
    assert reports[0]["mismatch/max"] > 0.05


def test_a_step_that_is_rejected_whole_changes_nothing(folder: Path, stale: list[Group]) -> None:
    """Momentum of the step before must not move the weights either."""
    learner = tiny_learner(
        folder,
        rejections=[{"kind": "bounds", "divergence": "k2", "scope": "max", "high": 1e-3}],
    )
    fresh = learner.step(random_groups(learner, REWARDS))
    assert fresh["rejection/kept"] == 1
    before = weights(learner)
    metrics = learner.step(stale)
    assert metrics["rejection/kept_sequences"] == 0
    assert metrics["updates/skipped"] == 1
    assert_same(weights(learner), before, atol=0, rtol=0)


def test_zero_length_completions_take_part_in_the_denominator(folder: Path) -> None:
    """A sequence of no tokens among others changes shares, and one alone changes nothing."""
    learner = tiny_learner(folder, aggregation="sequence_mean")
    groups = random_groups(learner, [[1.0, 0.0]])
    rollouts = [dataclasses.replace(r, completion=empty(r.completion)) for r in groups[0].rollouts]
    none = dataclasses.replace(groups[0], rollouts=tuple(rollouts))
    before = weights(learner)
    metrics = learner.step([none])
    assert_same(weights(learner), before, atol=0, rtol=0)
    assert metrics["updates/skipped"] == 1
    half = dataclasses.replace(groups[0], rollouts=(groups[0].rollouts[0], rollouts[1]))
    assert learner.step([half])["grad_norm"] > 0


def empty(completion: Any) -> Any:
    return dataclasses.replace(completion, token_ids=(), logprobs_T=(), versions_T=(), text="")
