"""A real HTTP server that speaks the chat-completions protocol and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server says to one request."""

    body: object = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


def chat_reply(text: str, *, logprobs: dict[str, float] | None = None, **message: str) -> Reply:
    """An answer; ``logprobs`` are those listed for its first token."""
    choice: Body = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text, **message},
    }
    if logprobs is not None:
        listed = [{"token": t, "logprob": p, "bytes": None} for t, p in logprobs.items()]
        choice["logprobs"] = {"content": [listed[0] | {"top_logprobs": listed}]}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "usage": usage}
    return Reply(body=body | {"choices": [choice]})


@dataclass(kw_only=True)
class Endpoint:
    """Where the server listens, and what it saw."""

    url: str = ""
    asked: list[Body] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving(answer: Callable[[Body], Reply]) -> Iterator[Endpoint]:
    """Serve ``answer``: request (its JSON, with ``path`` and ``key``) -> reply."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body |= {"path": self.path, "key": self.headers["Authorization"]}
            with endpoint.lock:
                endpoint.asked.append(body)
                endpoint.times.append(time.monotonic())
                endpoint.open_now += 1
                endpoint.most_open = max(endpoint.most_open, endpoint.open_now)
            reply = answer(body)
            time.sleep(reply.delay_s)
            with endpoint.lock:
                endpoint.open_now -= 1
            payload = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
