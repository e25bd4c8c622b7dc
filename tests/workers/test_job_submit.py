"""A run as a Ray job: it runs to the end, and the job ends as the run does."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.paths import REPO
from tests.small_beir import small_beir

pytestmark = [pytest.mark.ray, pytest.mark.slow]

BIN = Path(sys.executable).parent
JOB_S = 540.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; below 10002, where Ray's workers take theirs."""
    found: list[int] = []
    for port in range(6380 + os.getpid() % 1000, 10001):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What the documented shell has: the virtual environment on PATH, an explicit auth mode."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return inherited | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def dashboard(environment: dict[str, str]) -> Iterator[str]:
    """Address of a cluster of our own; only its own processes are ended."""
    port, http, client, agent, metrics = free_ports(5)
    session = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # socket paths must be short
    command = [
        *(str(BIN / "ray"), "start", "--head", "--block", "--num-cpus", "3"),
        *("--port", str(port), "--ray-client-server-port", str(client)),
        *("--dashboard-port", str(http), "--dashboard-agent-listen-port", str(agent)),
        *("--metrics-export-port", str(metrics), "--temp-dir", str(session)),
        *("--object-store-memory", str(200 * 1024**2)),
    ]
    head = started(command, environment, session / "head.log")
    try:
        yield f"http://127.0.0.1:{http}"
    finally:
        family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
        head.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=20)
        for process in alive:
            process.kill()
        head.wait()
        shutil.rmtree(session)


def started(command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """The head, once it says that it is up. Ray gives its parts 30 s each to start and ends them
    all when one is late, so a busy machine may need a second try."""
    for _ in range(3):
        with log.open("w") as out:
            head = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT)
        while head.poll() is None:
            if "will now block forever" in log.read_text():
                return head
            time.sleep(0.5)
    raise RuntimeError(f"the head did not start:\n{log.read_text()}")


def submit(
    dashboard: str, environment: dict[str, str], *command: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            BIN / "ray",
            "job",
            "submit",
            "--address",
            dashboard,
            "--working-dir",
            ".",
            "--",
            *command,
        ],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        timeout=JOB_S,
    )


def test_the_job_of_a_finished_run_succeeds(
    dashboard: str, environment: dict[str, str], tmp_path: Path, tiny_model: Path
) -> None:
    tiny = {
        "output": tmp_path / "runs",
        "model.path": tiny_model,
        "model.max_length": 512,
        "model.warm_start.steps": 0,
        "data.path": small_beir(tmp_path / "beir"),
        "data.first_stage": "bm25s",
        "rollout.engine": "hf",
        "rollout.prompts_per_call": 2,
        "groups_per_step": 2,
        "steps": 2,
    }
    overrides = [f"{key}={value}" for key, value in tiny.items()]
    done = submit(dashboard, environment, "rlpost", "train", "configs/quickstart.yaml", *overrides)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    run = tmp_path / "runs" / "quickstart"
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", 2)
    assert (run / "report.html").is_file()


def test_the_job_of_a_run_with_a_wrong_key_fails_with_its_exit_code(
    dashboard: str, environment: dict[str, str]
) -> None:
    done = submit(dashboard, environment, "rlpost", "train", "configs/quickstart.yaml", "stepz=1")
    assert done.returncode != 0
    assert "did you mean 'steps'?" in done.stdout
    assert "exit code 2" in done.stdout
