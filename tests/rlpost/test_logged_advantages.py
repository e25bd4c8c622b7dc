"""What is logged as a completion's advantage is what its loss was made of, in every preset."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rankers.files import jsonl
from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.config import load
from rlpost.learner.algorithm import Algorithm, Loss
from rlpost.learner.learner import TorchLearner
from rlpost.loop import advantages_of
from rlpost.objective.aggregation import Totals
from rlpost.tracking.run_dir import RunDir
from rlpost.types import Group, ListScore, Rollout, Score, Segment, Stretch
from tests.paths import REPO
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir
from workers.train.run_spec import choices

PRESETS = sorted((REPO / "configs").glob("*.yaml"))
REWARDS = [[1.0, 0.0, 0.25, 0.5], [0.0, 1.0, 1.0, 0.5], [0.7, 0.7, 0.7, 0.7], [0.0, 0.3, 1.0, 0.0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


class Spy:
    """Between learner and algorithm: the advantages that reached the loss, by completion."""

    def __init__(self, learner: TorchLearner) -> None:
        self.seen: dict[tuple[float, ...], list[float]] = {}
        self._loss = learner._algorithm.loss
        object.__setattr__(learner, "_algorithm", _Watched(learner._algorithm, self))

    def note(self, sampled: SampledTokens) -> None:
        """A completion whose every token a mask takes away is trained on with 0."""
        lengths = sampled.lengths_S.tolist()
        behaviour, advantages = (
            torch.split(values, lengths) for values in (sampled.behaviour_T, sampled.advantages_T)
        )
        has_signal = sampled.has_signal_S.tolist()
        for key, found, live in zip(behaviour, advantages, has_signal, strict=True):
            self.seen[tuple(key.tolist())] = found.tolist() if live else [0.0] * len(found)


class _Watched:
    def __init__(self, algorithm: Algorithm, spy: Spy) -> None:
        self._inner, self._spy = algorithm, spy

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def loss(
        self, logprobs_T: Tensor, entropy_T: Tensor, sampled: SampledTokens, totals: Totals
    ) -> Loss:
        self._spy.note(sampled)
        return self._inner.loss(logprobs_T, entropy_T, sampled, totals)


def scored_groups(learner: TorchLearner, *, seed: int) -> list[Group]:
    """Groups with parts, places and both ways to finish."""
    rng = random.Random(seed)

    def rollout(old: Rollout) -> Rollout:
        length = len(old.completion.token_ids)
        title = rng.randint(1, length)
        segments = [Segment(title, 0)]
        if length > title:
            segments.append(Segment(length - title, 1, sign=rng.choice((-1, 0, 1))))
        score = Score(
            total=old.score.total,
            parts={name: rng.random() for name in ("ndcg", "format")},
            places=ListScore(gains_K=(rng.random(), rng.random()), segments=tuple(segments)),
        )
        finish = rng.choice(("stop", "length"))
        return Rollout(completion=replace(old.completion, finish=finish), score=score)

    groups = random_groups(learner, REWARDS, seed=seed)
    return [replace(g, rollouts=tuple(rollout(old) for old in g.rollouts)) for g in groups]


def expanded(stretches: Sequence[Stretch]) -> list[float]:
    return [advantage for length, advantage in stretches for _ in range(length)]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_tells_what_it_trained_on(path: Path, folder: Path) -> None:
    cfg = load(path)
    settings = {
        "minibatches": cfg.learner.minibatches,
        "epochs": cfg.learner.epochs,
        **choices(cfg),
    }
    learner = tiny_learner(folder, **settings)
    for step in (1, 2):
        groups = scored_groups(learner, seed=step)
        spy = Spy(learner)
        metrics = learner.step(groups[::-1])
        learner._algorithm = learner._algorithm._inner
        logged_P_G = advantages_of(learner)[::-1]
        means = []
        for group, logged_G in zip(groups, logged_P_G, strict=True):
            for rollout, logged in zip(group.rollouts, logged_G, strict=True):
                completion = rollout.completion
                values = expanded(logged)
                assert len(values) == len(completion.token_ids)
                key = tuple(torch.tensor(completion.logprobs_T).tolist())
                trained = spy.seen.get(key, [0.0] * len(values))
                assert values == pytest.approx(trained, rel=1e-6, abs=1e-7)
                means.append(sum(values) / len(values))
                if cfg.algorithm.reward.truncated == "mask" and completion.finish == "length":
                    assert values == [0.0] * len(values)
        assert spy.seen
        assert metrics["advantage/max"] == pytest.approx(max(means))
        assert metrics["advantage/min"] == pytest.approx(min(means))
        assert 0 < metrics["frac_teaching_groups"] <= 1


def test_a_penalty_in_the_reward_turns_logged_signs(folder: Path) -> None:
    """The likelier completion has the larger reward and, with the penalty, the smaller credit."""
    kl = {"kind": "k1", "coefficient": 5.0, "where": "reward"}
    learner = tiny_learner(folder, credit="leave_one_out", objective="reinforce", kl=kl)
    (group,) = random_groups(learner, [[1.0, 0.9]])
    far = group.rollouts[0]
    nearer = tuple(logprob + 0.3 for logprob in far.completion.logprobs_T)
    far = replace(far, completion=replace(far.completion, logprobs_T=nearer))
    group = replace(group, rollouts=(far, group.rollouts[1]))
    learner.step([group])
    cost = 5.0 * 0.3 * len(nearer)
    ((first, second),) = advantages_of(learner)
    assert first[0].advantage == pytest.approx(0.1 - cost, abs=1e-4)
    assert second[0].advantage == pytest.approx(cost - 0.1, abs=1e-4)


def test_the_record_has_the_mean_and_where_tokens_differ_each(tmp_path: Path, folder: Path) -> None:
    (group,) = random_groups(tiny_learner(folder), [[1.0, 0.0]])
    run = RunDir.create(tmp_path / "run", "name: run\n")
    credit = [[(Stretch(2, 0.5), Stretch(6, -0.1)), (Stretch(4, -0.5),)]]
    run.log_rollouts(1, [group], credit)
    run.close()
    (record,) = jsonl.read(tmp_path / "run" / "rollouts" / "step-000001.jsonl")
    first, second = record["completions"]
    assert first["advantage"] == pytest.approx(0.05)
    assert first["token_advantages"] == [[2, 0.5], [6, -0.1]]
    assert second["advantage"] == -0.5
    assert "token_advantages" not in second
