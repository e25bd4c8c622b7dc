"""Peak memory counts what child processes use, and keeps what has been given back."""

import subprocess
import sys
import time

from rlpost.tracking.resources import PeakMemory, tree_bytes

HOLDS_100_MB = "block = bytearray(100 << 20); print(len(block), flush=True); input()"


def test_a_childs_memory_is_counted_and_remembered() -> None:
    before_mb = tree_bytes() / 2**20
    with PeakMemory(every_s=0.02) as memory:
        with subprocess.Popen(
            [sys.executable, "-c", HOLDS_100_MB], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.1)
            child.communicate(b"\n")
        assert memory.peak_mb > before_mb + 95
    assert tree_bytes() / 2**20 < before_mb + 50
