"""`rlpost train` as a person runs it: to the end, killed and resumed, interrupted, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.paths import REPO
from tests.small_beir import small_beir

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STEPS = 4
LIMIT_S = 300.0


class Command:
    """`rlpost train` on a tiny model and a small collection, in folders of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.settings = [
            *(f"output={folder / 'runs'}", f"model.path={model}", "model.max_length=256"),
            *(f"data.path={small_beir(folder / 'beir')}", "data.first_stage=bm25s"),
            *(f"steps={STEPS}", "groups_per_step=2", "streaming.max_lag=0", "checkpoint.every=1"),
            *("rollout.engine=hf", "rollout.group_size=2", "rollout.max_new_tokens=6"),
            *("task.candidates=3", "task.passage_tokens=12", "learner.tokens_per_batch=256"),
        ]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command with ``arguments``, its output going to a file."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        environment |= {"RLPOST_CACHE": str(self.folder / "cache"), "RAY_USAGE_STATS_ENABLED": "0"}
        with (self.folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "rlpost.cli.main", "train", *arguments],
                cwd=REPO,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def run(self, *arguments: str) -> int:
        return self.start(*arguments).wait(LIMIT_S)

    def train(self, name: str) -> list[str]:
        return ["configs/smoke.yaml", *self.settings, f"name={name}"]

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Command:
    return Command(tmp_path, tiny_model)


def steps_done(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_text().count("\n") if path.is_file() else 0


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while steps_done(run) < step:
        assert process.poll() is None, "the run ended before the step was reached"
        assert time.monotonic() < deadline, f"step {step} was not reached in time"
        time.sleep(0.05)


def kill_tree(pid: int) -> None:
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        process.kill()


def final_policy(run: Path) -> bytes:
    return (run / "policies" / f"policy-v{STEPS}" / "adapter_model.safetensors").read_bytes()


def test_killed_and_resumed_is_the_undisturbed_run(command: Command) -> None:
    assert command.run(*command.train("whole")) == 0, command.log()
    whole, broken = (command.folder / "runs" / name for name in ("whole", "broken"))
    process = command.start(*command.train("broken"))
    wait_for_step(broken, 2, process)
    kill_tree(process.pid)
    process.wait()
    assert command.run("--resume", str(broken)) == 0, command.log()

    assert final_policy(broken) == final_policy(whole)
    rewards = [
        [json.loads(line)["reward/mean"] for line in (run / "metrics.jsonl").open()]
        for run in (whole, broken)
    ]
    assert rewards[0] == rewards[1]
    assert len(rewards[0]) == STEPS
    summaries = [json.loads((run / "summary.json").read_text()) for run in (whole, broken)]
    assert summaries[0]["before"] == summaries[1]["before"]
    assert summaries[0]["after"] == summaries[1]["after"]
    assert summaries[0]["status"] == "finished"
    assert (whole / "report.html").is_file()


def test_a_run_that_taught_nothing_says_so_and_fails(command: Command) -> None:
    """One token is no ranking: all completions of a prompt earn the same."""
    mute = ["steps=1", "rollout.max_new_tokens=1", "on_no_signal=fail"]
    assert command.run(*command.train("mute"), *mute) == 1, command.log()
    sentence = "no group taught anything in 1 steps: the completions of each prompt had equal"
    assert f"error: TrainingError: {sentence}" in command.log()
    assert "Traceback" not in command.log()
    summary = json.loads((command.folder / "runs" / "mute" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["extra"]["no_signal"].startswith(sentence)
    assert summary["before"] == summary["after"]
    assert sentence in (command.folder / "runs" / "mute" / "report.html").read_text()


def test_an_interrupt_leaves_a_checkpoint_and_exit_code_130(command: Command) -> None:
    run = command.folder / "runs" / "stopped"
    process = command.start(*command.train("stopped"))
    wait_for_step(run, 1, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 130, command.log()
    assert "Traceback" not in command.log()
    assert command.run("--resume", str(run)) == 0, command.log()
    assert steps_done(run) == STEPS


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("steps=0", "steps: input should be greater than or equal to 1 (got 0)"),
        ("rollout.grop_size=4", "did you mean 'rollout.group_size'?"),
        ("data.path=/nowhere", "no collection at '/nowhere'"),
        ("data.train_split=dev", "has no split 'dev'"),
        ("data.eval_split=train", "in both the training and the evaluation split"),
        ("model.path=/nowhere", "there is no model /nowhere"),
        ("learner.tokens_per_batch=99", "learner.tokens_per_batch is 99, smaller than one sample"),
        ("output=/proc/nowhere", "/proc/nowhere"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    command: Command, override: str, sentence: str
) -> None:
    assert command.run(*command.train("refused"), override) == 2, command.log()
    assert sentence in command.log()
    assert "Traceback" not in command.log()
