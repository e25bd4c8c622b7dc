"""Clients that hang up, dawdle or flood, over real sockets; and the end in order."""

import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from rankers.errors import DataError
from rankers.serve.http.app import create_app
from rankers.serve.http.server import listening, server
from rankers.serve.settings import Limits
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.sockets import serving

BODY = json.dumps({"query": "cat", "documents": ["a cat", "a dog"]}).encode()
HEAD = (
    b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY)
)
HASTY = Limits(header_timeout_s=1, body_s=0.3)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answered(port: int) -> int:
    return httpx.post(
        f"http://127.0.0.1:{port}/v1/rerank",
        content=BODY,
        headers={"content-type": "application/json"},
    ).status_code


def trickle(slow: socket.socket) -> None:
    for number in range(400):
        slow.sendall(b"x-%d: y\r\n" % number)
        time.sleep(0.02)


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_job_of_a_client_that_hangs_up_is_withdrawn() -> None:
    service = WordService(delay_s=60)
    with serving(service, settings(port=0)) as port:
        with connect(port) as gone:
            gone.sendall(HEAD + BODY)
            eventually(lambda: service.running == 1)
        eventually(lambda: len(service.withdrawn) == 1)
        service.delay_s = 0
        assert answered(port) == 200


def test_a_body_broken_off_is_the_clients_doing(caplog: pytest.LogCaptureFixture) -> None:
    def noted() -> list[int]:
        lines = [record.__dict__.get("fields", {}) for record in caplog.records]
        return [line["status"] for line in lines if line.get("route") == "/v1/rerank"]

    with (
        caplog.at_level(logging.INFO, "rlpost.serve"),
        serving(WordService(), settings(port=0)) as port,
    ):
        with connect(port) as gone:
            gone.sendall(HEAD + BODY[:9])
        eventually(lambda: bool(noted()))
        assert noted() == [499]
        assert answered(port) == 200


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", b""),
        (b"POST /v1/rerank HT", b""),
        (HEAD[:-2], b""),
        (HEAD, b"408"),
        (HEAD + BODY[:-1], b"408"),
    ],
    ids=["nothing", "half a line", "half a head", "no body", "half a body"],
)
def test_slow_clients_are_closed_and_stop_nobody(sent: bytes, told: bytes) -> None:
    with serving(WordService(), settings(port=0, limits=HASTY)) as port:
        slow = [connect(port) for _ in range(50)]
        for one in slow:
            one.sendall(sent)
        assert answered(port) == 200
        for one in slow:
            assert told in one.recv(4096)  # returns: the server has answered or closed
            one.close()


def test_a_trickle_of_headers_is_no_way_round() -> None:
    with serving(WordService(), settings(port=0, limits=HASTY)) as port, connect(port) as slow:
        slow.sendall(HEAD[:-2])
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            trickle(slow)


def test_a_head_without_end_is_refused() -> None:
    with serving(WordService(), settings(port=0)) as port, connect(port) as flood:
        flood.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000)
        assert b" 431 " in flood.recv(4096)


def test_a_body_too_large_is_refused_before_it_is_sent() -> None:
    with serving(WordService(), settings(port=0)) as port, connect(port) as large:
        large.sendall(HEAD.replace(b"length: ", b"length: 99999999"))
        assert b" 413 " in large.recv(4096)


def test_after_sigterm_ready_says_so_and_work_under_way_is_finished() -> None:
    service = WordService(delay_s=0.8)
    given = settings(port=0, limits=Limits(drain_grace_s=0.4))
    sock = listening(given)
    port = sock.getsockname()[1]
    running = server(create_app(service, given), given)
    statuses: list[int] = []

    def play() -> None:
        eventually(lambda: running.started)
        asking = threading.Thread(target=lambda: statuses.append(answered(port)))
        asking.start()
        eventually(lambda: service.running == 1)
        running.handle_exit(signal.SIGTERM, None)
        ready = httpx.get(f"http://127.0.0.1:{port}/ready")
        statuses.append(ready.status_code)
        assert ready.json() == {"status": "draining"}
        asking.join()

    player = threading.Thread(target=play)
    player.start()
    running.run(sockets=[sock])
    player.join()
    assert statuses == [503, 200]
    assert service.drained


def test_a_port_in_use_is_told_in_one_sentence() -> None:
    with listening(settings(port=0)) as taken:
        taken.listen()
        with pytest.raises(DataError, match=r"in use.*choose another --port"):
            listening(settings(port=taken.getsockname()[1]))
    with pytest.raises(DataError, match=r"cannot listen on no\.such\.host:"):
        listening(settings(host="no.such.host"))
