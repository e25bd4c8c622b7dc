"""SIGKILL of the driver in mid-run: the resumed run ends as an undisturbed one would have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rlpost.checkpoint import Checkpoint, drop_after, latest_checkpoint
from tests.chaos.victim import DIARY, STEPS, victim_spec
from tests.paths import REPO
from tests.runs import Diary, loop_records
from workers.train.driver import open_run

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

PATIENCE_S = 240


def kill_after(step: int, folder: Path, max_lag: int) -> Checkpoint:
    """Start the victim, kill it some time after the checkpoint of ``step``, and its Ray with it."""
    folder.mkdir()
    arguments = [sys.executable, "-m", "tests.chaos.victim", str(folder), str(max_lag)]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    with subprocess.Popen(arguments, cwd=REPO, env=environment) as victim:
        give_up = time.monotonic() + PATIENCE_S
        while not (folder / "checkpoints" / f"step-{step:06d}").is_dir():
            assert victim.poll() is None, "the victim ended by itself"
            assert time.monotonic() < give_up, "the victim never got there"
            time.sleep(0.05)
        time.sleep(0.35)
        victim.send_signal(signal.SIGKILL)
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint


def trained_until(step: int, folder: Path) -> list[int]:
    lines = [json.loads(line) for line in (folder / DIARY).read_text().splitlines()]
    return [i for line in lines if line["step"] <= step for i in line["positions"]]


@pytest.mark.parametrize("max_lag", [0, 1])
def test_kill_and_resume_trains_every_prompt_once(tmp_path: Path, max_lag: int) -> None:
    folder = tmp_path / "run"
    checkpoint = kill_after(4, folder, max_lag)
    drop_after(folder, checkpoint.step)
    diary = Diary()
    with open_run(victim_spec(folder, max_lag), diary.observers, resume=checkpoint) as driver:
        driver.train()
    trained = Counter(trained_until(checkpoint.step, folder)) + diary.trained
    assert trained == dict.fromkeys(range(STEPS * 6), 1)
    if max_lag == 0:
        expected = loop_records(tmp_path / "loop", steps=STEPS)
        assert diary.final_loss == expected[-1].metrics["loss/policy"]
