"""Looking is cheap: the config module and `--help` load none of the heavy libraries."""

import resource
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "ray",
    "transformers",
    "vllm",
    "pyserini",
    "peft",
    "trl",
    "matplotlib",
    "datasets",
}


@pytest.mark.parametrize("module", ["rlpost", "rlpost.config.run", "rlpost.cli.main", "rankers"])
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert loaded == []


def test_help_takes_less_than_half_a_second() -> None:
    code = "import sys; sys.argv = ['rlpost', '--help']; from rlpost.cli.main import main; main()"
    best = min(cpu_seconds([sys.executable, "-c", code]) for _ in range(5))
    assert best < 0.5


def cpu_seconds(command: list[str]) -> float:
    """User plus system time: what the command takes on an idle core, however busy this one is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
