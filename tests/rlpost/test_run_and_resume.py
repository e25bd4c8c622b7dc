"""A run in one process on real parts: killed and resumed, it leaves equal records."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rankers.files import jsonl
from rlpost.checkpoint import latest_checkpoint, save_checkpoint
from rlpost.loop import StepRecord, train
from rlpost.report import write_report
from rlpost.rollout.collect import Plan
from rlpost.rollout.engines.hf import HfEngine
from rlpost.tracking.run_dir import RunDir
from rlpost.types import Completion, Prompt, Sampling, Score
from tests.tiny_learner import tiny_learner

STEPS = 5


class Killed(BaseException):
    """Stands for the end of the process."""


class Prompts:
    """An endless stream of three-token prompts."""

    def prompt(self, index: int) -> Prompt:
        return Prompt(id=f"p{index}", messages=(), token_ids=(10 + index % 50, 60, 90))

    def epoch(self, index: int) -> int:
        return 0


def share_of_low_tokens(prompt: Prompt, completion: Completion) -> Score:
    low = sum(token < 100 for token in completion.token_ids) / len(completion.token_ids)
    return Score(total=low, parts={"ndcg": low})


def run(
    model: Path, run_dir: RunDir, *, after: Callable[[int], None], restore_from: Path | None = None
) -> None:
    """Steps up to STEPS, a checkpoint at every second; ``after`` each step may kill."""
    learner = tiny_learner(model)
    if restore_from is not None:
        learner.restore(restore_from)

    def observe(record: StepRecord) -> None:
        run_dir.log_step(record.step, record.step, record.metrics)
        run_dir.log_rollouts(record.step, record.groups)
        if record.step % 2 == 0:
            save_checkpoint(run_dir.path, record.step, learner.save, {"version": record.step})
        after(record.step)

    plan = Plan(
        run_id="run",
        seed=0,
        steps=STEPS,
        groups_per_step=3,
        group_size=4,
        prompts_per_call=3,
        sampling=Sampling(temperature=1.0, max_tokens=4),
        policies=run_dir.path / "policies",
    )
    train(
        plan=plan,
        source=Prompts(),
        engine=HfEngine(model),
        reward=share_of_low_tokens,
        learner=learner,
        observe=observe,
    )


def die_after(last: int) -> Callable[[int], None]:
    def after(step: int) -> None:
        if step == last:
            raise Killed

    return after


def records(run_dir: Path) -> list[jsonl.Record]:
    """Metrics of every step without their times, and all rollouts."""
    metrics = [record | {"time": 0.0} for record in jsonl.read(run_dir / "metrics.jsonl")]
    rollouts = [r for path in sorted((run_dir / "rollouts").iterdir()) for r in jsonl.read(path)]
    return metrics + rollouts


@pytest.mark.parametrize("last", [2, 3])
def test_a_killed_and_resumed_run_equals_the_undisturbed_one(
    tiny_model: Path, tmp_path: Path, last: int
) -> None:
    whole = RunDir.create(tmp_path / "whole", "name: whole\n")
    run(tiny_model, whole, after=lambda step: None)

    first = RunDir.create(tmp_path / "broken", "name: broken\n")
    with pytest.raises(Killed):
        run(tiny_model, first, after=die_after(last))
    first.close()
    checkpoint = latest_checkpoint(first.path)
    assert checkpoint is not None
    assert checkpoint.step == 2

    second = RunDir.resume(first.path, checkpoint.step)
    run(tiny_model, second, after=lambda step: None, restore_from=checkpoint.path)
    assert records(second.path) == records(whole.path)
    weights = f"policies/policy-v{STEPS}/adapter_model.safetensors"
    assert (second.path / weights).read_bytes() == (whole.path / weights).read_bytes()
    assert "Training nDCG" in write_report(second.path).read_text()
