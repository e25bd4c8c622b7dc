"""The endpoint engine, against a small real HTTP server that speaks the protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rankers.errors import UserError
from rlpost.errors import EngineError
from rlpost.rollout.engines.openai import OpenAiEngine
from rlpost.types import Message, PolicyRef, Prompt, Sampling
from tests.endpoint import Reply, chat_reply, serving

pytest.importorskip("openai", reason="the OpenAI client is not installed")

SAMPLING = Sampling(temperature=0.5, max_tokens=7)


class Endpoint(BaseHTTPRequestHandler):
    """Answers "<last message> <seed>", and keeps what it was asked."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body | {"path": self.path, "key": self.headers["Authorization"]})
        question = body["messages"][-1]["content"]
        status = {"unknown": 404, "overloaded": 500}.get(question, 200)
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "length" if question == "long" else "stop",
            "message": {"role": "assistant", "content": f"{question} {body['seed']}"},
        }
        if body.get("return_token_ids"):
            tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.25}]
            choice |= {"token_ids": [5, 6], "logprobs": {"content": tokens}}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        payload = json.dumps(answer | {"choices": [choice]}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Endpoint.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(text: str) -> Prompt:
    return Prompt(id=text, messages=(Message(role="user", content=text),), token_ids=())


def test_siblings_come_in_order_and_say_no_tokens(url: str) -> None:
    engine = OpenAiEngine(url, model="m", api_key="secret")
    got = engine.generate([ask("a"), ask("long")], seeds_P_G=[[1, 2], [3]], sampling=SAMPLING)
    engine.close()
    assert [[c.text for c in group] for group in got] == [["a 1", "a 2"], ["long 3"]]
    assert [group[0].finish for group in got] == ["stop", "length"]
    assert got[0][0].token_ids == got[0][0].logprobs_T == ()
    for body in Endpoint.asked:
        assert (body["path"], body["key"]) == ("/v1/chat/completions", "Bearer secret")
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.5, 7)
        assert "return_token_ids" not in body


def test_token_ids_and_logprobs_where_they_are_offered(url: str) -> None:
    engine = OpenAiEngine(url, model="m", token_ids=True)
    [[completion]] = engine.generate([ask("a")], seeds_P_G=[[1]], sampling=SAMPLING)
    engine.close()
    assert completion.token_ids == (5, 6)
    assert completion.logprobs_T == (-0.5, -0.25)
    assert completion.versions_T == (0, 0)


def test_refusals_are_the_users_and_failures_the_engines(url: str) -> None:
    engine = OpenAiEngine(url, model="m", retries=0)
    with pytest.raises(UserError, match="refused prompt 'unknown' for model m"):
        engine.generate([ask("unknown")], seeds_P_G=[[1]], sampling=SAMPLING)
    with pytest.raises(EngineError, match="about prompt 'overloaded'"):
        engine.generate([ask("overloaded")], seeds_P_G=[[1]], sampling=SAMPLING)
    engine.close()


def test_nobody_there() -> None:
    engine = OpenAiEngine("http://127.0.0.1:9/v1", model="m", retries=0)
    with pytest.raises(EngineError, match="APIConnectionError"):
        engine.generate([ask("a")], seeds_P_G=[[1]], sampling=SAMPLING)
    engine.close()


def test_weights_cannot_be_loaded_nor_tokens_scored(url: str, tmp_path: Path) -> None:
    engine = OpenAiEngine(url, model="m")
    with pytest.raises(UserError, match="cannot be trained"):
        engine.load(PolicyRef(version=1, path=tmp_path))
    with pytest.raises(EngineError, match="cannot score"):
        engine.score([1], [2])
    assert engine.version == 0
    engine.close()


def test_a_hosted_reasoning_model_is_asked_in_its_own_terms() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        for name in ("max_tokens", "temperature", "seed"):
            if name in body:
                words = f"Unsupported parameter: '{name}' is not supported with this model."
                return Reply(status=400, body={"error": {"message": words, "param": name}})
        return chat_reply("<answer>[1]</answer>", reasoning="hm")

    with serving(answer) as endpoint:
        engine = OpenAiEngine(endpoint.url, model="deployment", concurrency=1)
        [[first, second]] = engine.generate([ask("q")], seeds_P_G=[[1, 2]], sampling=SAMPLING)
        engine.close()
    assert first.text == second.text == "<think>hm</think><answer>[1]</answer>"
    assert len(endpoint.asked) == 5, "three refusals, two answers"
    assert endpoint.asked[-1]["max_completion_tokens"] >= SAMPLING.max_tokens
