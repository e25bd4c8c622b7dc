"""SIGTERM in every phase of `rlpost train`: exit code 130, nothing lost, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.paths import REPO
from tests.small_beir import small_beir

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STEPS = 8
LIMIT_S = 400.0


class Command:
    """A command in a process group of its own, as a shell or ``timeout`` gives it one."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.log = folder / f"{uuid.uuid4().hex}.log"
        self._tag = uuid.uuid4().hex
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        own = {"RLPOST_CACHE": str(folder / "cache"), "RLPOST_TEST_TAG": self._tag}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rlpost.cli.main", *words],
                cwd=REPO,
                env=inherited | own | {"RAY_USAGE_STATS_ENABLED": "0"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, phrase: str) -> Command:
        give_up = time.monotonic() + LIMIT_S
        while phrase not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < give_up, self.said
            time.sleep(0.02)
        return self

    def signalled(self, *, group: bool) -> int:
        """The exit code after SIGTERM, to the process or to its whole group, twice."""
        send = os.killpg if group else os.kill
        send(self.process.pid, signal.SIGTERM)
        send(self.process.pid, signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def left(self) -> list[str]:
        """What still runs of it a little later."""
        deadline = time.monotonic() + 20
        while (found := list(self._ours())) and time.monotonic() < deadline:
            time.sleep(0.2)
        return found

    def _ours(self) -> Iterator[str]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("RLPOST_TEST_TAG") == self._tag:
                    yield " ".join(process.cmdline())


def test_sigterm_in_every_phase_loses_nothing(tmp_path: Path, tiny_model: Path) -> None:
    run = tmp_path / "runs" / "run"
    new = [
        *("train", "configs/smoke.yaml", f"output={tmp_path / 'runs'}", f"model.path={tiny_model}"),
        *(f"data.path={small_beir(tmp_path / 'beir')}", "data.first_stage=bm25s", "name=run"),
        *(f"steps={STEPS}", "groups_per_step=2", "streaming.max_lag=0", "checkpoint.every=100"),
        *("rollout.engine=hf", "rollout.group_size=2", "rollout.max_new_tokens=6"),
        *("task.candidates=3", "task.passage_tokens=12", "learner.tokens_per_batch=256"),
        *("model.max_length=256", "model.warm_start.steps=0"),
    ]
    resumed = ["train", "--resume", str(run)]
    phases = [
        (new, "loading", False, "interrupted before training began: start the command again"),
        (new, "starting the engine", True, "interrupted before the first step"),
        (resumed, "before RL ...", False, "interrupted before the first step"),
        (resumed, "step 2/", True, "interrupted after step"),
        (resumed, "after RL ...", True, f"interrupted after step {STEPS}"),
    ]
    for words, phrase, group, sentence in phases:
        command = Command(tmp_path, *words).until(phrase)
        assert command.signalled(group=group) == 130, command.said
        assert sentence in command.said
        assert "Traceback" not in command.said
        assert command.left() == []
        if words is new and phrase == "loading":
            assert not run.exists()
            continue
        assert f"go on with `rlpost train --resume {run}`" in command.said
        assert (run / "report.html").is_file()
    command = Command(tmp_path, *resumed)
    assert command.process.wait(LIMIT_S) == 0, command.said
    assert (run / "metrics.jsonl").read_text().count("\n") == STEPS


def test_sigterm_ends_the_warm_start_and_its_process(tmp_path: Path, tiny_model: Path) -> None:
    command = Command(
        tmp_path,
        *("train", "configs/smoke.yaml", f"output={tmp_path / 'runs'}", f"model.path={tiny_model}"),
        *(f"data.path={small_beir(tmp_path / 'beir')}", "data.first_stage=bm25s", "name=run"),
        *("rollout.engine=hf", "task.candidates=3", "task.passage_tokens=12"),
        *("model.max_length=256", "model.warm_start.steps=400", "learner.tokens_per_batch=256"),
    ).until("warm start: step")
    assert command.signalled(group=True) == 130, command.said
    assert "interrupted before the first step" in command.said
    assert "Traceback" not in command.said
    assert command.left() == []
    assert list((tmp_path / "cache" / "warm-start").iterdir()) == []
