"""Pre-training from scratch on one core: a curriculum of listwise problems under a clock."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from rlpost.tiny_ranker.objective import Losses, PretrainModel
from rlpost.tiny_ranker.problems import ProblemBatch, ProblemMix, ProblemSampler

Metrics = dict[str, float]

LEARNING_RATE = 2e-3
FINAL_RATE = 0.02  # share of the learning rate left at the end
WARM_UP_STEPS = 80
WEIGHT_DECAY = 0.01
CLIP = 1.0
MATCH_WEIGHT = 5.0
LOG_EVERY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of the curriculum; sequences of one length, so the graph is compiled once."""

    until: float  # share of the time
    length: int  # tokens of a sequence
    size: int  # sequences of a batch
    mix: ProblemMix


CURRICULUM = (
    Stage(
        until=0.12,
        length=144,
        size=48,
        mix=ProblemMix(synthetic=0.2, drawn=0.7, hard=0.2, lists=(2, 4)),
    ),
    Stage(
        until=0.70,
        length=224,
        size=32,
        mix=ProblemMix(synthetic=0.05, drawn=0.5, hard=0.6, lists=(3, 8)),
    ),
    Stage(
        until=1.0,
        length=352,
        size=24,
        mix=ProblemMix(synthetic=0.0, drawn=0.3, hard=0.8, lists=(5, 10)),
    ),
)


def pretrain(
    student: PretrainModel,
    sampler: ProblemSampler,
    *,
    minutes: float,
    curve: Path,
    on_log: Callable[[Metrics], None],
) -> None:
    """Train `student` in place for `minutes`, appending a line of means to `curve` now and then.

    Matrix products run in bfloat16 (four times the float32 speed on cores that have it), weights
    and optimizer state in float32. Stages go by the clock, so a faster machine sees more problems.
    """
    hidden = torch.compile(student.hidden, dynamic=False)
    optimizer = _optimizer(student)
    means: Metrics = defaultdict(float)
    start, step, tokens = time.monotonic(), 0, 0
    while (progress := (time.monotonic() - start) / (60 * minutes)) < 1:
        stage = next(stage for stage in CURRICULUM if progress < stage.until)
        problems = sampler.batch(stage.size, stage.length, stage.mix)
        step += 1
        tokens += problems.tokens_BS.size
        rate = min(1.0, step / WARM_UP_STEPS) * (1 - (1 - FINAL_RATE) * progress)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        losses = _step(student, hidden, optimizer, problems)
        for field in fields(losses):
            means[field.name] += getattr(losses, field.name).item() / LOG_EVERY
        if step % LOG_EVERY == 0:
            seconds = round(time.monotonic() - start, 1)
            row: Metrics = {"step": step, "seconds": seconds, "tokens": tokens, **means}
            with curve.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
            means.clear()
            on_log(row)


def _step(
    student: PretrainModel,
    hidden: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    problems: ProblemBatch,
) -> Losses:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = hidden(torch.from_numpy(problems.tokens_BS))
        losses = student.losses(problems, states)
    (losses.answer + MATCH_WEIGHT * losses.match + losses.score).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(student.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return losses


def _optimizer(student: PretrainModel) -> torch.optim.AdamW:
    matrices = [p for p in student.parameters() if p.ndim >= 2]
    vectors = [p for p in student.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
