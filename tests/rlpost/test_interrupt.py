"""Ctrl-C and SIGTERM are one way to end, and each of them may come twice."""

from __future__ import annotations

import os
import signal

import pytest

from rlpost import interrupt
from rlpost.interrupt import interruptible, stop_on_signal


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


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
