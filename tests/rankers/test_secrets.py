"""Keys and passwords do not show, whatever is told about what is around them."""

import json
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rankers.backends.openai import OpenAiBackend
from rankers.backends.rerank_api import served_reranker
from rankers.errors import DataError, RankerError
from rankers.secrets import is_secret_name, key_of, plain_url, shown, without_key
from rankers.types import Passage, Query

KEY = "sk-SECRET-0123"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("keys", True),
        ("models.0.api_key", True),
        ("apiKey", True),
        ("OPENAI_API_KEY", True),
        ("HF_TOKEN", True),
        ("openaiApikeyFile", True),
        ("Authorization", True),
        ("passage_tokens", False),
        ("tokenizer", False),
        ("monkey", False),
        ("max_tokens_per_doc", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) == secret


def test_values_are_shown_without_secrets_however_deep() -> None:
    value = {"url": f"http://me:{KEY}@host/v1", "x": [{"api_key": KEY, "n": 3}], "keys": {KEY: 1}}
    assert shown(value) == (
        "{'url': 'http://(hidden)@host/v1', 'x': [{'api_key': (hidden), 'n': 3}], 'keys': (hidden)}"
    )
    assert shown(KEY, "api_key") == "(hidden)"
    assert shown(7, "steps") == "7"


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{KEY}@host:8000/v1",
        f"http://{KEY}@host/v1",
        f"me:{KEY}@host/v1",
        f"http://host/v1?api_key={KEY}",
        f"http://host/v1#{KEY}",
        f"http://me:{KEY}@[::1/v1",
    ],
)
def test_an_url_holds_no_secrets(url: str) -> None:
    with pytest.raises(DataError, match="the URL of the endpoint") as told:
        plain_url(url, variable="RLPOST_API_KEY")
    assert "SECRET" not in str(told.value)
    for make in (lambda: served_reranker(url), lambda: OpenAiBackend(url, model="m")):
        with pytest.raises(DataError) as told:
            make()
        assert "SECRET" not in str(told.value)
    assert plain_url("http://host:8000/v1", variable="X") == "http://host:8000/v1"


def test_a_key_is_taken_without_the_line_break_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    assert key_of("OPENAI_API_KEY") == KEY
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nsecond \u201cSECRET\u201d")
    with pytest.raises(DataError, match="no HTTP header takes") as told:
        key_of("OPENAI_API_KEY")
    assert "SECRET" not in str(told.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert key_of("OPENAI_API_KEY") == "none"
    assert without_key("none of the keys", "none") == "none of the keys"


@pytest.fixture
def telltale() -> Iterator[str]:
    """A server that quotes the key it refuses, as proxies do."""

    class Handler(BaseHTTPRequestHandler):
        status = 401

        def do_POST(self) -> None:
            said = {"error": {"message": f"invalid: {self.headers['authorization']}"}}
            content = json.dumps(said).encode()
            self.send_response(400 if "rerank" in self.path else 401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_refusal_that_quotes_the_key_is_told_without_it(
    telltale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLPOST_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    reranker = pickle.loads(pickle.dumps(served_reranker(telltale)))
    backend = OpenAiBackend(f"{telltale}/v1", model="m", retries=0)
    with pytest.raises(RankerError, match="invalid: Bearer") as told:
        reranker.rank(Query(id="q", text="t"), [Passage(id="a", text="a")])
    assert KEY not in str(told.value)
    with pytest.raises(RankerError, match="invalid: Bearer") as told:
        backend.complete([[{"role": "user", "content": "x"}]], max_tokens=1)
    assert KEY not in str(told.value)
