"""Who is let in, and what is written down about it."""

import json
import logging
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rankers.errors import DataError
from rankers.serve.app import create_app
from rankers.serve.log import JsonLines
from tests.rankers.serve.fakes import WordService, settings

BODY = {"query": "secret question", "documents": ["secret document"]}


def test_any_of_the_keys_is_let_in_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text("from-file\n\n")
    monkeypatch.setenv("RLPOST_API_KEYS", "from-env,other")
    client = TestClient(create_app(WordService(), settings(keys=["own"], keys_file=file)))
    for key in ("own", "from-file", "from-env", "other"):
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).is_success
    for header in ("", "Bearer", "Bearer ow", "Bearer own2", "Basic own", "own", "Bearer \xe9"):
        for path in ("/v1/models", "/metrics", "/nowhere"):
            answer = client.get(path, headers=[(b"Authorization", header.encode("latin-1"))])
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.post("/v2/rerank", json=BODY).json()["message"].startswith("a key is needed")


def test_probes_need_no_key() -> None:
    client = TestClient(create_app(WordService(), settings(keys=["own"])))
    assert client.get("/health").is_success
    assert client.get("/ready").is_success


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_a_source_without_keys_does_not_open_the_server(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(DataError, match="holds no key"):
        create_app(WordService(), settings(keys_file=file))
    with pytest.raises(DataError, match="cannot be read"):
        create_app(WordService(), settings(keys_file=tmp_path / "none"))


def test_an_empty_key_lets_nobody_in() -> None:
    with pytest.raises(DataError, match="keys holds no key"):
        create_app(WordService(), settings(keys=["", " "]))
    client = TestClient(create_app(WordService(), settings(keys=["", " own "])))
    assert client.get("/info", headers={"Authorization": "Bearer "}).status_code == 401
    assert client.get("/info", headers={"Authorization": "Bearer own"}).is_success


def test_keys_may_be_in_any_script(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes("\ufeffschl\u00fcssel\n\u9375\n".encode())  # as Windows' editors save it
    client = TestClient(create_app(WordService(), settings(keys_file=file)))
    for key in ("schl\u00fcssel", "\u9375"):
        head = [(b"Authorization", b"Bearer " + key.encode())]
        assert client.get("/info", headers=head).is_success


def test_every_answer_is_what_it_says() -> None:
    client = TestClient(create_app(WordService(), settings(keys=["own"])))
    for path in ("/", "/health", "/v1/models", "/nowhere"):
        assert client.get(path).headers.get_list("x-content-type-options") == ["nosniff"]


def test_settings_do_not_show_keys() -> None:
    assert "own" not in repr(settings(keys=["own"]))


@pytest.mark.parametrize("log_documents", [False, True])
def test_the_log_has_texts_only_where_asked(
    log_documents: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(create_app(WordService(), settings(log_documents=log_documents)))
    with caplog.at_level(logging.INFO, "rlpost.serve"):
        client.post("/v1/rerank", json=BODY, headers={"X-Request-ID": "abc"})
        client.post("/v1/rerank", json=BODY | {"secret": 1})
    lines = [JsonLines().format(record) for record in caplog.records]
    first = json.loads(lines[0])
    assert (first["id"], first["route"], first["status"]) == ("abc", "/v1/rerank", 200)
    assert (first["model"], first["documents"]) == ("words", 1)
    assert ("secret question" in lines[0]) == log_documents
    assert "secret question" not in lines[1]
    assert json.loads(lines[1])["error"] == "secret: there is no such field"


def test_probes_are_logged_only_when_something_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    service = WordService()
    client = TestClient(create_app(service, settings()))
    with caplog.at_level(logging.INFO, "rlpost.serve"):
        for path in ("/health", "/ready", "/metrics"):
            client.get(path)
        assert not caplog.records
        service.ready = False
        client.get("/ready")
    assert json.loads(JsonLines().format(caplog.records[0]))["status"] == 503


def test_the_id_of_a_request_comes_back_unless_it_is_unfit() -> None:
    client = TestClient(create_app(WordService(), settings()))
    good = client.get("/health", headers={"X-Request-ID": "trace-1.a:b"})
    assert good.headers["x-request-id"] == "trace-1.a:b"
    for unfit in ("", "a b", "x" * 129, '{"a":1}'):
        made = client.get("/health", headers={"X-Request-ID": unfit}).headers["x-request-id"]
        assert len(made) == 32


def test_metrics_count_requests_by_route_and_never_by_what_the_client_wrote() -> None:
    client = TestClient(create_app(WordService(), settings()))
    client.post("/v1/rerank", json=BODY)
    client.post("/v1/rerank", json={})
    client.get("/secret/path")
    page = client.get("/metrics").text
    assert 'rlpost_requests_total{route="/v1/rerank",status="200"} 1.0' in page
    assert 'rlpost_requests_total{route="/v1/rerank",status="422"} 1.0' in page
    assert 'rlpost_requests_total{route="unmatched",status="404"} 1.0' in page
    assert 'rlpost_documents_total{model="words"} 1.0' in page
    assert "rlpost_ready 1.0" in page
    assert "rlpost_engine_batches_total 0.0" in page
    assert "secret" not in page


def test_other_sites_may_call_only_where_allowed() -> None:
    ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    closed = TestClient(create_app(WordService(), settings()))
    assert "access-control-allow-origin" not in closed.options("/v2/rerank", headers=ask).headers
    opened = TestClient(
        create_app(WordService(), settings(keys=["k"], cors_origins=["https://shop.example"]))
    )
    allowed = opened.options("/v2/rerank", headers=ask)
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    other = opened.options("/v2/rerank", headers=ask | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
