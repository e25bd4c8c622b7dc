"""The optimizer of the adapters and the shape of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch.nn import Parameter

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimSettings:
    """AdamW (arXiv 1711.05101) with warm-up, a schedule and a bound on the gradient norm."""

    learning_rate: float = 1e-4
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    total_steps: int = 1
    """Optimizer steps at which ``linear`` and ``cosine`` have fallen to 0."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


SHAPES: dict[Schedule, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}
"""Progress in [0, 1] after the warm-up -> share of the peak learning rate."""


def learning_rate(step: int, settings: OptimSettings) -> float:
    """Rate of optimizer step ``step`` (0-based). A function of the step alone, so it needs no saved
    state.
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    remaining = max(1, settings.total_steps - settings.warmup_steps)
    progress = min(1.0, (step - settings.warmup_steps) / remaining)
    return settings.learning_rate * SHAPES[settings.schedule](progress)


def adamw(parameters: Iterable[Parameter], settings: OptimSettings) -> torch.optim.AdamW:
    """AdamW over ``parameters``; the caller sets the rate of every step."""
    import torch

    return torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
