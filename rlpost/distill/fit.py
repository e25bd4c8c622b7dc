"""The optimizer loop of a distillation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch

from rlpost.distill.lists import TeacherLists
from rlpost.distill.students import Student
from rlpost.errors import TrainingError
from rlpost.learner.optim import OptimSettings, adamw, learning_rate


def fit(
    student: Student,
    lists: TeacherLists,
    *,
    steps: int,
    batch_size: int,
    optim: OptimSettings,
    observe: Callable[[int, Mapping[str, float]], None],
) -> None:
    """``steps`` optimizer steps; ``observe`` gets each one's number, from 1, and metrics.

    Raises TrainingError on a non-finite loss or gradient, before it reaches the weights.
    """
    parameters = list(student.parameters())
    optimizer = adamw(parameters, optim)
    for step in range(steps):
        optimizer.zero_grad()
        loss = 0.0
        for part in student.losses(lists.batch(step, batch_size)):
            torch.autograd.backward([part])
            loss += float(part.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, optim.max_grad_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {step + 1}: the loss is {loss} and the gradient's norm {norm}: lower "
                "optimizer.learning_rate"
            )
        rate = learning_rate(step, optim)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        observe(step + 1, {"loss/student": loss, "grad_norm": norm, "lr": rate})
