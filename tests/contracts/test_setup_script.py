"""scripts/setup says in one sentence what is missing, before it touches anything."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import REPO

SHELL_TOOLS = ("bash", "env", "dirname", "sha256sum", "cut", "cat", "uname", "df", "awk")
FILE_TOOLS = ("rm", "cp", "mkdir", "head", "tail")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script reads, without a .venv, and ``bin`` with the shell's tools only."""
    root = tmp_path / "checkout"
    shutil.copytree(REPO / "scripts" / "lock", root / "scripts" / "lock")
    shutil.copy(REPO / "scripts" / "setup", root / "scripts" / "setup")
    shutil.copy(REPO / "pyproject.toml", root)
    (root / "bin").mkdir()
    for tool in SHELL_TOOLS + FILE_TOOLS:
        (root / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return root


def command(checkout: Path, name: str, body: str) -> None:
    """Put a small real command ahead of the system's."""
    path = checkout / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


def setup(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts" / "setup"],
        env={"PATH": str(checkout / "bin"), "RLPOST_DEVICE": "cpu", **env},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "body", "env", "says"),
    [
        ("python3.11", "exit 127", {}, "'python3.11' is not Python 3.11"),
        ("python3.11", "[[ $2 != *venv* ]]", {}, "install its venv module"),
        ("uname", "echo Darwin arm64", {}, "this is Darwin arm64"),
        ("python3.11", "exit 0", {"RLPOST_DEVICE": "tpu"}, "'tpu'; it must be cpu or gpu"),
    ],
    ids=["no python", "no venv", "other system", "unknown device"],
)
def test_says_what_is_missing(
    checkout: Path, name: str, body: str, env: dict[str, str], says: str
) -> None:
    command(checkout, name, body)
    done = setup(checkout, **env)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (checkout / ".venv").exists()


def test_says_that_the_disk_is_full(checkout: Path) -> None:
    command(checkout, "python3.11", "exit 0")
    command(checkout, "df", "echo head; echo disk 100 50 1048576 50% /")
    done = setup(checkout)
    assert done.returncode == 1
    assert "1 GB are free" in done.stderr
    assert len(done.stderr.splitlines()) == 1


PYTHON = """
if [[ $2 == venv ]]; then mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi
if [[ $2 == pip ]]; then echo "$@" >>pip.calls; exit ${PIP_EXIT:-0}; fi
"""
"""A Python whose `venv` makes a folder and whose `pip` only notes what it was asked for."""


def test_says_that_packages_cannot_be_had(checkout: Path) -> None:
    command(checkout, "python3.11", PYTHON)
    done = setup(checkout, PIP_EXIT="1")
    assert done.returncode == 1
    assert "check the network" in done.stderr
    assert not (checkout / ".venv" / "stamp").exists()


def test_installs_the_locks_then_the_checkout_and_only_when_something_changed(
    checkout: Path,
) -> None:
    command(checkout, "python3.11", PYTHON)
    calls = checkout / "pip.calls"
    assert setup(checkout).returncode == 0
    files = re.findall(r"-r scripts/lock/(\S+)|-e (\.)", calls.read_text())
    assert files == [("torch-cpu.txt", ""), ("cpu.txt", ""), ("dev.txt", ""), ("", ".")]

    calls.unlink()
    again = setup(checkout)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert not calls.exists()

    with (checkout / "scripts" / "lock" / "cpu.txt").open("a") as lock:
        lock.write("other==1\n")
    assert setup(checkout).returncode == 0
    assert calls.exists()
