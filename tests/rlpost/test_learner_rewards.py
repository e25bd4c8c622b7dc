"""Between scores and credit: what shaping and overlong filtering make of an update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlpost.credit.reward_transforms import shaped, unlikely
from rlpost.learner.algorithm import algorithm
from rlpost.learner.learner import TorchLearner
from rlpost.types import Group
from tests.tiny_learner import random_groups, tiny_learner

UNLIKELINESS = {"kind": "unlikeliness", "beta": 0.4}
OVERLONG = {"kind": "overlong", "limit": 12, "margin": 11}


def weights(learner: TorchLearner) -> list[Tensor]:
    return [p.detach().clone() for p in learner.trained_parameters().values()]


def equal(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def truncated(group: Group, cut_G: Sequence[bool]) -> Group:
    rollouts = tuple(
        replace(r, completion=replace(r.completion, finish="length" if cut else "stop"))
        for r, cut in zip(group.rollouts, cut_G, strict=True)
    )
    return replace(group, rollouts=rollouts)


def test_an_update_with_unlikeliness_is_that_of_the_shaped_rewards(tiny_model: Path) -> None:
    learner = tiny_learner(tiny_model, transforms=[UNLIKELINESS])
    by_hand = tiny_learner(tiny_model)
    groups = random_groups(learner, [(1, 0, 1, 1), (1, 0, 0, 1)])
    metrics = learner.step(groups)
    by_hand.step(shaped(groups, [lambda group: unlikely(group, beta=0.4)]))
    assert equal(weights(learner), weights(by_hand))
    assert metrics["reward/mean"] == 5 / 8
    assert metrics["reward/shaped_mean"] < 5 / 8


def test_shaping_cannot_make_a_group_of_equal_rewards_speak(tiny_model: Path) -> None:
    learner = tiny_learner(tiny_model, transforms=[UNLIKELINESS, OVERLONG])
    before = weights(learner)
    metrics = learner.step(random_groups(learner, [(1, 1, 1), (0, 0, 0)]))
    assert equal(weights(learner), before)
    assert metrics["frac_degenerate_groups"] == 1.0


def test_a_masked_completion_counts_in_the_baseline_alone(tiny_model: Path) -> None:
    parts: dict[str, Any] = {
        "credit": "group_mean",
        "objective": "clip",
        "aggregation": "token_mean",
    }
    learner = tiny_learner(tiny_model)
    groups = [
        truncated(group, cut_G)
        for group, cut_G in zip(
            random_groups(learner, [(1, 0, 0.2), (0, 1, 0)]),
            [(False, True, False), (True, True, False)],
            strict=True,
        )
    ]
    all_of_them = algorithm(**parts).credited(groups)
    kept = algorithm(**parts, mask_truncated=True).credited(groups)
    assert kept == [all_of_them[i] for i in (0, 2, 5)]


def test_a_step_of_cut_completions_changes_nothing(tiny_model: Path) -> None:
    learner = tiny_learner(tiny_model, mask_truncated=True)
    before = weights(learner)
    metrics = learner.step(random_groups(learner, [(1, 0, 0.5)]))
    assert equal(weights(learner), before)
    assert metrics["completion/clipped_ratio"] == 1.0
    assert metrics["tokens/completion"] == 0.0


@pytest.mark.parametrize("epochs", [1, 2])
def test_later_epochs_measure_their_ratio_against_the_policy_that_sampled(
    tiny_model: Path, epochs: int
) -> None:
    learner = tiny_learner(tiny_model, transforms=[UNLIKELINESS], epochs=epochs)
    metrics = learner.step(random_groups(learner, [(1, 0, 1, 1)]))
    assert (metrics["ratio/max"] > 1.01) == (epochs == 2)
    assert learner.version == 1


def test_recording_uplift_changes_nothing_and_counts_the_good(tiny_model: Path) -> None:
    watching, plain = tiny_learner(tiny_model, uplift_every=2), tiny_learner(tiny_model)
    for step in (1, 2):
        groups = random_groups(plain, [(1, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 0.9)], seed=step)
        metrics = watching.step(groups)
        plain.step(groups)
        recorded = {name: value for name, value in metrics.items() if name.startswith("uplift/")}
        assert bool(recorded) == (step == 2)
    assert equal(weights(watching), weights(plain))
    assert sum(recorded[f"uplift/counted/{i}"] for i in range(1, 5)) == 3
    assert sum(recorded[f"uplift/raised/{i}"] for i in range(1, 5)) == 3
