"""Ctrl-C and SIGTERM are one way to end, and each of them may come twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from rlpost import interrupt
from rlpost.interrupt import interruptible, stop_on_signal


def send(number: signal.Signals) -> None:
    """To this process; the handler has run, or is about to interrupt the sleep."""
    os.kill(os.getpid(), number)
    time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends_at_once(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "ONE_S", 0.0)
    with stop_on_signal() as stop:
        send(number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            send(number)


def test_signals_in_quick_succession_are_one() -> None:
    with stop_on_signal() as stop:
        for _ in range(5):
            send(signal.SIGTERM)
        assert stop.requested


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    with stop_on_signal(at_once=True):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_with_130_and_a_sentence(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    @interruptible
    def command() -> None:
        try:
            send(number)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted after step 3") from None

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted after step 3\n"


def test_cleaning_up_is_not_cut_short_by_the_second_of_two_signals_at_once() -> None:
    cleaned = []

    def work() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGTERM)
            cleaned.append(True)

    with stop_on_signal(at_once=True), pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned == [True]


def test_foreign_handlers_and_other_threads_change_nothing() -> None:
    code = (
        "import os, signal, threading, time\n"
        "from rlpost.interrupt import stop_on_signal\n"
        "with stop_on_signal() as stop:\n"
        "    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n"
        "    signal.signal(signal.SIGTERM, lambda *_: os._exit(9))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.3)\n"
        "    print('asked' if stop.requested else 'lost')\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "asked\n"


def test_a_blocked_sigint_as_in_a_ray_job_is_heard_again() -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with stop_on_signal() as stop:
            send(signal.SIGTERM)
            assert stop.requested
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_processes_made_inside_outlive_a_signal_to_the_group() -> None:
    with stop_on_signal():
        child = subprocess.Popen(["sleep", "30"])
    child.terminate()
    time.sleep(0.2)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_nested_requests_share_one_waiter() -> None:
    with stop_on_signal(at_once=True), stop_on_signal() as inner:
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("sigterm") == 1
        send(signal.SIGTERM)
        assert inner.requested


def test_a_child_ends_with_its_parent() -> None:
    code = (
        "import subprocess, time\n"
        "from rlpost.interrupt import end_with_parent\n"
        "print(subprocess.Popen(['sleep', '30'], preexec_fn=end_with_parent).pid, flush=True)\n"
        "time.sleep(30)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(timeout=10)
