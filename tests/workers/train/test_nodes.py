"""The only machine of a cluster goes: the run ends in bounded time, with the way to go on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rankers.errors import UserError
from tests.paths import REPO
from workers.train.shared_folder import SharedFolder

RUN = """
import sys
from dataclasses import replace
from pathlib import Path
import psutil
from rlpost.errors import TrainingError
from rlpost.loop import StepRecord
from tests.fakes import HashLearner, ScriptedEngine
from tests.runs import FAST, Diary, small_spec
from workers.train.driver import open_run

folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
spec = small_spec(folder, steps=50, engine=ScriptedEngine(seconds_per_call=0.2),
                  learner=HashLearner(seconds_per_step=0.2),
                  streaming=replace(FAST, node_wait_s=5.0))

def watch(record: StepRecord) -> None:
    if record.step == kill_at:
        [raylet] = [p for p in psutil.Process().children() if p.name() == "raylet"]
        raylet.kill()
        print("killed", flush=True)

try:
    with open_run(spec, replace(Diary().observers, step=watch)) as driver:
        driver.train()
except TrainingError as error:
    print("ended:", error, flush=True)
"""


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_whose_only_raylet_is_killed_ends_soon(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path), "2"]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "killed\n":
                killed = time.monotonic()
            elif line.startswith("ended:"):
                break
        else:
            pytest.fail("it ended without the sentence")
        took = time.monotonic() - killed
        process.wait(120)
    assert "--resume" in line
    assert took < 60
    assert (tmp_path / "checkpoints" / "step-000002").is_dir()


def test_a_machine_with_another_folder_is_told(tmp_path: Path) -> None:
    shared = SharedFolder.marked(tmp_path / "policies")
    shared.check()
    SharedFolder.marked(tmp_path / "policies")
    with pytest.raises(UserError, match=r"does not see the run's folder .*: set output to a"):
        shared.check()
    shared.unmark()
    with pytest.raises(UserError, match="does not see the run's folder"):
        shared.check()


def test_the_folder_is_the_same_wherever_an_actor_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shared = SharedFolder.marked(Path("runs/x/policies"))
    monkeypatch.chdir("/")
    assert shared.path == tmp_path / "runs" / "x" / "policies"
    shared.check()
