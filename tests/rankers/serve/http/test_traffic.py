"""Clients that send half a body or take half an answer, many of them, over real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from fastapi import FastAPI

from rankers.serve.http.app import create_app
from rankers.serve.http.traffic import Intake, Outlet
from rankers.serve.settings import Limits
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.sockets import serving

MB = 10**6
SMALL = json.dumps({"query": "cat", "documents": ["a cat"]}).encode()
LARGE = json.dumps({"query": "cat", "documents": ["x" * 990_000] * 9}).encode()
HELD = len(LARGE) - 4 * 2**20
"""At least, of such an answer that nobody reads: 4 MiB at most are with the kernel."""


def head(length: int, path: str = "/v1/rerank", more: str = "") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", more]
    lines.append(f"content-length: {length}")
    return "\r\n".join(filter(None, lines)).encode() + b"\r\n\r\n"


def connect(port: int, *, narrow: bool = False) -> socket.socket:
    one = socket.socket()
    if narrow:  # before connecting, so that the window stays small
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(20)
    one.connect(("127.0.0.1", port))
    return one


def answered(port: int) -> int:
    return httpx.post(
        f"http://127.0.0.1:{port}/v1/rerank",
        content=SMALL,
        headers={"content-type": "application/json"},
        timeout=20,
    ).status_code


def drip(one: socket.socket, *, until: float) -> None:
    while time.monotonic() < until:
        one.recv(128)
        time.sleep(0.02)


def rest(one: socket.socket) -> bytes:
    """What still comes, to the end of the connection."""
    parts = []
    try:
        while part := one.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@contextmanager
def started(**limits: object) -> Iterator[tuple[int, FastAPI]]:
    apps: list[FastAPI] = []
    given = settings(port=0, limits=Limits.model_validate(limits))

    def make(service: WordService, _: object) -> FastAPI:
        apps.append(create_app(service, given))
        return apps[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.rankers.serve.sockets.create_app", make)
        with serving(WordService(), given) as port:
            yield port, apps[0]


def eventually_empty(pool: Intake | Outlet) -> None:
    until = time.monotonic() + 20
    while pool.bytes:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_slow_readers_are_cut_and_their_answers_let_go() -> None:
    with started(answer_s=4) as (port, app), ExitStack() as stack:
        slow = [stack.enter_context(connect(port, narrow=True)) for _ in range(6)]
        for one in slow:
            one.sendall(head(len(LARGE)) + LARGE)
        until = time.monotonic() + 20
        while app.state.outlet.bytes < 6 * HELD and time.monotonic() < until:
            time.sleep(0.005)
        assert app.state.outlet.bytes >= 6 * HELD
        assert answered(port) == 200
        eventually_empty(app.state.outlet)
        for one in slow:
            assert len(rest(one)) < MB  # the rest is not with the kernel either
        assert answered(port) == 200


def test_a_reader_that_drips_is_no_way_round() -> None:
    with started(answer_s=0.5) as (port, _), connect(port, narrow=True) as slow:
        slow.sendall(head(len(LARGE)) + LARGE)
        begun = time.monotonic()
        with pytest.raises(ConnectionResetError):
            drip(slow, until=begun + 15)


def test_a_reader_that_takes_its_time_within_the_limit_gets_all_of_it() -> None:
    with started(answer_s=20) as (port, app), connect(port, narrow=True) as slow:
        slow.sendall(head(len(LARGE), more="connection: close") + LARGE)
        time.sleep(0.5)
        found = rest(slow)
        assert json.loads(found.partition(b"\r\n\r\n")[2])["results"][0]["index"] == 0
        eventually_empty(app.state.outlet)


def test_answers_that_wait_are_bounded_together_and_the_longest_goes() -> None:
    most = 3 * HELD
    with started(answer_s=60, leaving_bytes=most) as (port, app), ExitStack() as stack:
        slow = [stack.enter_context(connect(port, narrow=True)) for _ in range(6)]
        for one in slow:
            one.sendall(head(len(LARGE)) + LARGE)
            assert one.recv(15) == b"HTTP/1.1 200 OK"
        assert app.state.outlet.bytes <= most
        assert answered(port) == 200
        assert len(rest(slow[0])) < len(LARGE)
        assert len(rest_of_answer(slow[-1])) > len(LARGE)


def rest_of_answer(one: socket.socket) -> bytes:
    one.shutdown(socket.SHUT_WR)
    return rest(one)


def test_half_sent_bodies_are_bounded_together_and_small_ones_pass() -> None:
    most = 4 * MB
    with (
        started(body_bytes=MB, arriving_bytes=most, body_s=1.5) as (port, app),
        ExitStack() as stack,
    ):
        half = [stack.enter_context(connect(port)) for _ in range(40)]
        peak = 0
        for one in half:
            one.sendall(head(MB) + b" " * (MB - 1000))
            peak = max(peak, app.state.intake.bytes)
        assert answered(port) == 200
        assert peak <= most + 2 * MB  # read from another thread, between two steps
        told = [rest(one)[:12] for one in half]
        assert set(told) <= {b"HTTP/1.1 503", b"HTTP/1.1 408", b""}
        assert told.count(b"HTTP/1.1 408") <= 5
        assert b"HTTP/1.1 503" in told
        assert answered(port) == 200
        eventually_empty(app.state.intake)


def test_a_body_as_large_as_allowed_arrives_beside_many_small_halves() -> None:
    with (
        started(body_bytes=10 * MB, arriving_bytes=10 * MB, body_s=5) as (port, _),
        ExitStack() as stack,
    ):
        for _ in range(20):
            stack.enter_context(connect(port)).sendall(head(1000) + b" " * 500)
        with connect(port) as one:
            one.sendall(head(len(LARGE), more="connection: close") + LARGE)
            assert rest(one).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/nowhere", "/health", "/v1/rerank"])
def test_a_body_that_nobody_wants_keeps_no_connection(path: str) -> None:
    """A byte after the refusal stopped the clock that would have closed it."""
    with started(body_s=0.4, header_timeout_s=1) as (port, _), connect(port) as slow:
        slow.sendall(head(1000, path).replace(b"application/json", b"text/plain"))
        assert slow.recv(12).startswith(b"HTTP/1.1 4")
        for _ in range(3):
            slow.sendall(b"x")
            time.sleep(0.1)
        begun = time.monotonic()
        rest(slow)
        assert time.monotonic() - begun < 5


def test_empty_lines_keep_no_connection() -> None:
    with started(header_timeout_s=1) as (port, _), connect(port) as slow:
        slow.sendall(head(len(SMALL)) + SMALL)
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200")
        slow.sendall(b"\r\n")
        begun = time.monotonic()
        rest(slow)
        assert 0.5 < time.monotonic() - begun < 5


def test_a_connection_goes_on_after_a_refusal_whose_body_came() -> None:
    with started(body_s=0.3) as (port, _), connect(port) as one:
        one.sendall(head(len(SMALL), "/nowhere"))
        refusal = b""
        while not refusal.endswith(b"}"):
            refusal += one.recv(1 << 16)
        assert refusal.startswith(b"HTTP/1.1 404")
        one.sendall(SMALL)
        time.sleep(0.6)
        one.sendall(head(len(SMALL)) + SMALL)
        assert one.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_limits_that_let_no_body_in_are_refused() -> None:
    with pytest.raises(ValueError, match="arriving_bytes 10 is less than body_bytes 20"):
        Limits(body_bytes=20, arriving_bytes=10)
