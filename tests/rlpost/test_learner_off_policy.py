"""Correction and KL penalty inside a step: identities with the uncorrected, unpenalised update."""

from pathlib import Path

import pytest
import torch

from rankers.errors import UserError
from rlpost.learner.learner import TorchLearner
from rlpost.learner.optim import OptimSettings
from rlpost.tracking.metrics import metric
from rlpost.types import Group
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

REWARDS = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0, 0.5]]
SGD_LIKE = OptimSettings(learning_rate=1.0, betas=(0.0, 0.0), epsilon=1e6, max_grad_norm=1e9)
UNBOUNDED = {"kind": "clip", "low": 1.0, "high": 1e9}


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


def moved_by(learner: TorchLearner, groups: list[Group]) -> dict[str, torch.Tensor]:
    before = {n: p.detach().clone() for n, p in learner.trained_parameters().items()}
    learner.step(groups)
    return {n: p.detach() - before[n] for n, p in learner.trained_parameters().items()}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-12, rtol=2e-3)


@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
def test_on_policy_a_correction_changes_nothing(folder: Path, level: str) -> None:
    plain = tiny_learner(folder, optim=SGD_LIKE)
    groups = random_groups(plain, REWARDS)
    correction = {"kind": "truncated", "level": level, "high": 2.0}
    corrected = tiny_learner(folder, optim=SGD_LIKE, correction=correction)
    assert_same(moved_by(corrected, groups), moved_by(plain, groups))


def test_an_unbounded_correction_of_reinforce_is_the_unclipped_ratio(
    folder: Path, stale: list[Group]
) -> None:
    correction = {"kind": "truncated", "high": 1e9}
    weighted = tiny_learner(folder, optim=SGD_LIKE, objective="reinforce", correction=correction)
    ratio = tiny_learner(folder, optim=SGD_LIKE, objective=UNBOUNDED)
    reinforce = tiny_learner(folder, optim=SGD_LIKE, objective="reinforce")
    ours = moved_by(weighted, stale)
    assert_same(ours, moved_by(ratio, stale))
    plain = moved_by(reinforce, stale)
    assert any(not torch.allclose(ours[n], plain[n], atol=0, rtol=0.05) for n in ours)


def test_a_correction_is_reported_and_the_proximal_policy_is_the_one_before_the_step(
    folder: Path, stale: list[Group]
) -> None:
    learner = tiny_learner(folder, correction={"kind": "masked", "low": 0.5, "high": 2.0}, epochs=2)
    metrics = learner.step(stale)
    for name in metrics:
        metric(name)
    assert 0 < metrics["correction/kept"] < 1
    assert metrics["correction/weight"] > 0
    assert metrics["kl/behaviour"] > 1e-3
    # Clipping is measured against the proximal policy: nothing is clipped in the first epoch.
    first = tiny_learner(folder, correction={"kind": "truncated"}).step(stale)
    assert first["clip_ratio/low"] == first["clip_ratio/high"] == 0


@pytest.mark.parametrize("kind", ["k2", "k3", "k3_plus"])
def test_the_penalty_is_nothing_at_the_base_and_pulls_back_to_it(folder: Path, kind: str) -> None:
    plain = tiny_learner(folder, optim=SGD_LIKE)
    groups = random_groups(plain, REWARDS)
    kl = {"kind": kind, "coefficient": 1.0}
    penalised = tiny_learner(folder, optim=SGD_LIKE, kl=kl)
    assert_same(moved_by(penalised, groups), moved_by(plain, groups))

    learner = tiny_learner(folder, kl=kl)
    learner.step(groups)
    constant = random_groups(learner, [[0.7] * 3, [0.7] * 4])
    distances = [learner.step(constant)["kl/reference"] for _ in range(8)]
    assert distances[0] > 1e-4
    assert distances[-1] < distances[0] / 2


def test_unknown_choices_are_user_errors(folder: Path) -> None:
    with pytest.raises(UserError, match="correction 'nope' is unknown: use one of truncated"):
        tiny_learner(folder, correction="nope")
    with pytest.raises(UserError, match="kl 'nope' is unknown: use one of k1"):
        tiny_learner(folder, kl={"kind": "nope", "coefficient": 1.0})
