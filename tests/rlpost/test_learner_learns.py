"""The whole loop in one process, on real parts: the tiny model learns to emit rewarded tokens."""

from pathlib import Path

import pytest

from rlpost.learner.optim import OptimSettings
from rlpost.loop import StepRecord, train
from rlpost.rollout.collect import Plan
from rlpost.rollout.engines.hf import HfEngine
from rlpost.types import Completion, Prompt, Sampling, Score
from tests.tiny_learner import tiny_learner
from tests.tiny_model import tiny_model_dir


class Prompts:
    """Sixteen prompts of three tokens, over and over."""

    def prompt(self, index: int) -> Prompt:
        number = index % 16
        ids = (10 + number, 60 + number, 90 + number)
        return Prompt(id=f"p{number}", messages=(), token_ids=ids)

    def epoch(self, index: int) -> int:
        return index // 16


def share_of_low_tokens(prompt: Prompt, completion: Completion) -> Score:
    """Reward of a completion: how many of its tokens are below 100, of 329."""
    low = sum(token < 100 for token in completion.token_ids)
    return Score(total=low / len(completion.token_ids))


def test_reward_rises_and_the_engine_agrees_with_the_learner(tmp_path: Path) -> None:
    folder = tiny_model_dir(tmp_path / "model")
    records: list[StepRecord] = []
    plan = Plan(
        run_id="run",
        seed=0,
        steps=12,
        groups_per_step=8,
        group_size=8,
        prompts_per_call=8,
        sampling=Sampling(temperature=1.0, max_tokens=4),
        policies=tmp_path / "policies",
    )
    train(
        plan=plan,
        source=Prompts(),
        engine=HfEngine(folder),
        reward=share_of_low_tokens,
        learner=tiny_learner(folder, optim=OptimSettings(learning_rate=5e-2)),
        observe=records.append,
    )
    rewards = [record.metrics["reward/mean"] for record in records]
    assert sum(rewards[:2]) / 2 < 0.5
    assert sum(rewards[-2:]) / 2 > sum(rewards[:2]) / 2 + 0.25
    for record in records:
        assert record.metrics["ratio/min"] == pytest.approx(1, abs=1e-3)
        assert record.metrics["ratio/max"] == pytest.approx(1, abs=1e-3)
