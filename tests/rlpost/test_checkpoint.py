"""Checkpoints: whatever goes wrong while one is written, the previous one stays usable."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlpost.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from rlpost.errors import CheckpointError


def writer(content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights.bin").write_bytes(content)

    return write


def full_disk(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_round_trip_and_layout(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 10, writer(b"ten"), {"version": 10, "trained": [1, 2]})

    assert path == tmp_path / "checkpoints" / "step-000010"
    assert sorted(p.name for p in path.iterdir()) == ["adapter", "checkpoint.json", "state.json"]
    files = json.loads((path / "checkpoint.json").read_text())["files"]
    expected = {"bytes": 3, "sha256": hashlib.sha256(b"ten").hexdigest()}
    assert files["adapter/weights.bin"] == expected

    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert (latest.step, latest.path) == (10, path)
    assert latest.state == {"version": 10, "trained": [1, 2]}


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None


def test_a_failing_writer_leaves_the_previous_one_and_no_litter(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 10, writer(b"ten"), {})
    with pytest.raises(CheckpointError, match=r"step-000020.*No space left"):
        save_checkpoint(tmp_path, 20, full_disk, {})
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000010"]
    assert latest_checkpoint(tmp_path).step == 10  # type: ignore[union-attr]


class Killed(BaseException):
    """Stands for a signal that ends the process here: no later call may be relied on."""


class LastCall:
    """Lets the first ``allowed`` calls of the wrapped functions through, then dies at each."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def limited(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return function(*args, **kwargs)

        return limited


@pytest.mark.parametrize("allowed", range(20))
def test_a_kill_at_any_write_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    """Each call through which bytes or names reach the disk is, in turn, the last that works."""
    save_checkpoint(tmp_path, 10, writer(b"ten"), {"version": 10})
    last = LastCall(allowed)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", last.wrap(os.fsync))
        patch.setattr("shutil.rmtree", last.wrap(shutil.rmtree))
        for name in ("mkdir", "rename", "write_text", "write_bytes"):
            patch.setattr(Path, name, last.wrap(getattr(Path, name)))
        with contextlib.suppress(Killed):
            save_checkpoint(tmp_path, 20, writer(b"twenty"), {"version": 20})

    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.step in ((10,) if allowed < 12 else (10, 20))
    assert latest.state == {"version": latest.step}
    weights = (latest.path / "adapter" / "weights.bin").read_bytes()
    assert weights == {10: b"ten", 20: b"twenty"}[latest.step]
    save_checkpoint(tmp_path, 30, writer(b"thirty"), {"version": 30})
    assert latest_checkpoint(tmp_path).step == 30  # type: ignore[union-attr]


SAVES_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from rlpost.checkpoint import save_checkpoint

for step in count(1):
    content = str(step).encode() * 50_000
    save_checkpoint(Path(sys.argv[1]), step, lambda p: (p / "w").write_bytes(content), {"at": step})
    print(step, flush=True)
"""


def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    for seed in range(5):
        script = [sys.executable, "-c", SAVES_FOR_EVER, str(tmp_path / str(seed))]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.Random(seed).random() * 0.1)
            process.kill()
            reported = int(["1", *process.stdout.read().split()][-1])
        latest = latest_checkpoint(tmp_path / str(seed))
        assert latest is not None
        assert latest.step in (reported, reported + 1)
        assert (latest.path / "w").read_bytes() == str(latest.step).encode() * 50_000


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda p: (p / "adapter/weights.bin").write_bytes(b"twen"), "not what was written"),
        (lambda p: (p / "adapter/weights.bin").write_bytes(b"TWENTY"), "not what was written"),
        (lambda p: (p / "adapter/weights.bin").unlink(), "lacks adapter/weights.bin"),
        (lambda p: (p / "checkpoint.json").unlink(), "incomplete"),
        (lambda p: (p / "checkpoint.json").write_text('{"step": 2'), "incomplete"),
        (lambda p: (p / "state.json").write_text("{}"), "state.json is not what was written"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_written_anew(
    tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    save_checkpoint(tmp_path, 10, writer(b"ten"), {"at": 10})
    newest = save_checkpoint(tmp_path, 20, writer(b"twenty"), {"at": 20})
    damage(newest)
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(newest)
    assert latest_checkpoint(tmp_path).step == 10  # type: ignore[union-attr]

    save_checkpoint(tmp_path, 20, writer(b"twenty"), {"at": 20})
    assert latest_checkpoint(tmp_path).step == 20  # type: ignore[union-attr]


def test_a_complete_one_is_never_overwritten(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 10, writer(b"ten"), {})
    assert save_checkpoint(tmp_path, 10, full_disk, {}) == path
    assert (path / "adapter" / "weights.bin").read_bytes() == b"ten"


def test_the_newest_are_kept_and_damaged_ones_do_not_count(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, writer(b"x"), {}, keep=2)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000020", "step-000030"]

    (tmp_path / "checkpoints/step-000030/adapter/weights.bin").unlink()
    save_checkpoint(tmp_path, 40, writer(b"x"), {}, keep=2)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000020", "step-000030", "step-000040"]


def test_a_persons_copy_is_left_alone(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 10, writer(b"ten"), {})
    copy = shutil.copytree(path, path.with_name("step-000010-good"))
    for step in (20, 30, 40):
        save_checkpoint(tmp_path, step, writer(b"x"), {}, keep=1)
    assert latest_checkpoint(tmp_path).step == 40  # type: ignore[union-attr]
    assert load_checkpoint(copy).step == 10


def test_reserved_names_are_refused(tmp_path: Path) -> None:
    def greedy(folder: Path) -> None:
        (folder / "state.json").write_text("{}")

    with pytest.raises(CheckpointError, match=r"state\.json, which is reserved"):
        save_checkpoint(tmp_path, 1, greedy, {})
