"""A learner on the tiny model, and groups of random completions, on policy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlpost.learner.build import build_learner
from rlpost.learner.learner import TorchLearner
from rlpost.learner.optim import OptimSettings
from rlpost.types import Completion, Group, GroupKey, Prompt, Rollout, Score, Ticket
from rlpost.weights.lora import LoraSettings


def tiny_learner(folder: Path, **overrides: Any) -> TorchLearner:
    """GRPO as in the quickstart unless ``overrides`` says otherwise."""
    settings: dict[str, Any] = {
        "model_path": str(folder),
        "dtype": "float32",
        "lora": LoraSettings(rank=4, alpha=8.0),
        "seed": 0,
        "credit": "group_mean",
        "objective": "clip",
        "aggregation": "token_mean",
        "optim": OptimSettings(learning_rate=1e-2, max_grad_norm=1e9),
        "tokens_per_batch": 4096,
        "temperature": 1.0,
    }
    return build_learner(**(settings | overrides))


def random_groups(
    learner: TorchLearner, rewards_P_G: Sequence[Sequence[float]], *, seed: int = 0
) -> list[Group]:
    """One group per row of rewards: prompts of 3-20 and completions of 1-12 tokens below 300."""
    rng = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(300) for _ in range(rng.randint(low, high)))

    groups = []
    for index, rewards_G in enumerate(rewards_P_G):
        prompt = Prompt(id=f"p{index}", messages=(), token_ids=ids(3, 20))
        rollouts = []
        for reward in rewards_G:
            tokens = ids(1, 12)
            completion = Completion(
                token_ids=tokens,
                logprobs_T=tuple(learner.score(prompt.token_ids, tokens)),
                versions_T=(learner.version,) * len(tokens),
                finish="length",
                text="",
            )
            rollouts.append(Rollout(completion=completion, score=Score(total=reward)))
        ticket = Ticket(index=index, key=GroupKey("run", 0, prompt.id, 0), prompt=prompt)
        groups.append(Group(ticket=ticket, rollouts=tuple(rollouts)))
    return groups
