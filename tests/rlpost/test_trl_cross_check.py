"""The same rollouts from the same weights through TRL's GRPOTrainer and through our learner.

Two optimizer steps on one batch: at the first every ratio is 1, at the second ratios have left it
far enough for each clip to act. The tolerance is 1e-4 of the largest movement of each matrix; the
two differ in float32 rounding alone, as ours packs rows where TRL pads them. AdamW's epsilon is
large, so that it does not turn a gradient's rounding into a step of full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rlpost.learner.optim import OptimSettings
from rlpost.models.loading import load_base, load_tokenizer
from rlpost.types import Group
from rlpost.weights.lora import LoraSettings, add_lora
from tests.rlpost.learner.test_learner import weights
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

pytestmark = pytest.mark.slow

REWARDS = [[1.0, 0.0, 0.25, 0.5], [0.0, 1.0, 1.0, 0.5], [0.7, 0.7, 0.7, 0.7], [0.0, 0.3, 1.0, 0.0]]
LORA = LoraSettings(rank=4, alpha=8.0)
RATE, EPSILON, NORM, LONGEST = 0.1, 1e-2, 1.0, 12

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": (
        {"loss_type": "grpo"},
        {"aggregation": "sequence_mean"},
    ),
    "dr_grpo": (
        {"loss_type": "dr_grpo", "scale_rewards": "none", "max_completion_length": LONGEST},
        {
            "credit": {"kind": "group_mean", "scale": "none"},
            "aggregation": {"kind": "constant", "length": LONGEST},
        },
    ),
    "dapo": (
        {"loss_type": "dapo", "epsilon_high": 0.28},
        {"objective": {"kind": "clip", "low": 0.2, "high": 0.28}},
    ),
    "intellect2": (
        {"loss_type": "dapo", "delta": 1.25},
        {"objective": {"kind": "clip", "delta": 1.25}},
    ),
    "gspo": (
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        },
        {"objective": "gspo", "aggregation": "sequence_mean"},
    ),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.2},
        {"objective": {"kind": "cispo", "cap": 1.2}},
    ),
}
"""Name -> (TRL's settings, ours)."""
SHARES = {
    "clip_ratio/low_mean": "clip_ratio/low",
    "clip_ratio/high_mean": "clip_ratio/high",
    "clip_ratio/region_mean": "clip_ratio/region",
    "cispo_clip_ratio": "clip_ratio/high",
}
"""TRL's name -> ours."""


@pytest.mark.parametrize("name", CASES)
def test_two_steps_give_the_parameters_of_trl(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    of_trl, ours = CASES[name]
    folder = tiny_model_dir(tmp_path / "tiny")
    optim = OptimSettings(learning_rate=RATE, epsilon=EPSILON, max_grad_norm=NORM)
    learner = tiny_learner(folder, lora=LORA, optim=optim, epochs=2, **ours)
    groups = random_groups(learner, REWARDS)
    before = weights(learner)
    metrics = learner.step(groups)
    assert metrics["clip_ratio/high"] > 0, metrics
    theirs, shares = trained_by_trl(folder, groups, of_trl, tmp_path)
    for key, share in shares.items():
        assert metrics[key] == pytest.approx(share, abs=1e-6), key
    assert theirs.keys() == before.keys()
    for key, after in weights(learner).items():
        movement = (theirs[key] - before[key]).abs().max()
        assert movement > 1e-4
        torch.testing.assert_close(after, theirs[key], atol=1e-4 * float(movement), rtol=0)


def grpo_config(settings: dict[str, Any], output: Path) -> Any:
    """Two optimizer steps on one batch of all completions, on the CPU."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=str(output),
        per_device_train_batch_size=len(REWARDS) * len(REWARDS[0]),
        num_generations=len(REWARDS[0]),
        num_iterations=2,
        max_steps=2,
        learning_rate=RATE,
        adam_epsilon=EPSILON,
        max_grad_norm=NORM,
        lr_scheduler_type="constant",
        beta=0.0,
        temperature=1.0,
        shuffle_dataset=False,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_steps=1,
        **settings,
    )


def trained_by_trl(
    folder: Path, groups: Sequence[Group], settings: dict[str, Any], output: Path
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The adapter matrices after two optimizer steps of TRL on the groups' completions, and the
    mean shares of what was clipped, under our names.
    """
    from datasets import Dataset
    from trl import GRPOTrainer

    args = grpo_config(settings, output)
    rollouts = [(group, rollout) for group in groups for rollout in group.rollouts]
    scores = {r.completion.token_ids: r.score.total for _, r in rollouts}
    assert len(scores) == args.per_device_train_batch_size

    def rollout_func(prompts: list[str], trainer: object) -> dict[str, list[Any]]:
        assert prompts == [group.key.prompt_id for group, _ in rollouts]
        return {
            "prompt_ids": [list(group.ticket.prompt.token_ids) for group, _ in rollouts],
            "completion_ids": [list(rollout.completion.token_ids) for _, rollout in rollouts],
            "logprobs": None,
        }

    def reward(completion_ids: list[list[int]], **_: object) -> list[float]:
        return [scores[tuple(ids)] for ids in completion_ids]

    trainer = GRPOTrainer(
        model=add_lora(load_base(str(folder), "float32"), LORA, seed=0),
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": group.key.prompt_id} for group in groups]),
        processing_class=load_tokenizer(folder),
        rollout_func=rollout_func,
    )
    trainer.train()
    named = trainer.model.named_parameters()
    after = {n: p.detach().clone() for n, p in named if p.requires_grad}
    steps = trainer.state.log_history[:2]
    shares = {
        ours: sum(step[name] for step in steps) / 2
        for name, ours in SHARES.items()
        if name in steps[0]
    }
    assert shares
    return after, shares
