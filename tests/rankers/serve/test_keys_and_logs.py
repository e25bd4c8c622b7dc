"""Who is let in, and what is written down about it."""

import asyncio
import gc
import io
import json
import logging
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rankers.errors import BackendError, DataError, ScoreError
from rankers.serve.http.app import create_app
from rankers.serve.log import JsonLines, log_to
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
        client.post("/v1/rerank", json=BODY | {"rlpost": {"secret": 1}})
    lines = [JsonLines(texts=log_documents).format(record) for record in caplog.records]
    first = json.loads(lines[0])
    assert (first["id"], first["route"], first["status"]) == ("abc", "/v1/rerank", 200)
    assert (first["model"], first["documents"]) == ("words", 1)
    assert ("secret question" in lines[0]) == log_documents
    assert "secret question" not in lines[1]
    named = "rlpost.secret" if log_documents else "rlpost.(unknown)"
    assert json.loads(lines[1])["error"] == f"{named}: there is no such field"


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


SECRETS = ("zebra", "quagga", "okapi")


class TroubleError(RuntimeError):
    pass


def failing() -> Exception:
    """What an engine that quotes the request raises, from another that does so too."""
    try:
        try:
            raise KeyError(SECRETS[2])
        except KeyError as inner:
            raise TroubleError(f"query {SECRETS[:2]}") from inner
    except TroubleError as error:
        error.add_note(SECRETS[2])
        return error


@pytest.mark.parametrize("log_documents", [False, True])
@pytest.mark.parametrize(
    ("body", "error", "status"),
    [
        ({}, DataError("query 'zebra': a prompt with 2 passages takes 9 tokens more"), 422),
        ({}, BackendError("no answer to 'zebra'"), 500),
        ({}, ScoreError("okapi was scored nan"), 500),
        ({}, failing(), 500),
        ({}, ValueError("zebra\nquagga"), 500),
        ({"model": "zebra"}, None, 404),
        ({"query": "zebra " * 9000}, None, 422),
        ({"query": {"zebra": "quagga"}}, None, 422),
        ({"documents": {"okapi": "okapi"}}, None, 422),
        ({"documents": [{"okapi": "okapi"}]}, None, 422),
        ({"documents": [{"x": "okapi"}], "rank_fields": ["zebra"]}, None, 422),
        ({"documents": ["a", ["okapi"]]}, None, 422),
        ({"zebra": ["okapi"] * 1001}, None, 422),
        ({"zebra": {str(n): n for n in range(101)}}, None, 422),
        ({"rlpost": {"zebra": "okapi"}}, None, 422),
        ({"rlpost": {"deadline_ms": 20}}, "slow", 504),
        ({"zebra quagga": "okapi"}, None, 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_no_failure_brings_texts_into_the_log(
    body: dict[str, object],
    error: Exception | str | None,
    status: int,
    log_documents: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = WordService(delay_s=5) if error == "slow" else WordService()
    service.error = error if isinstance(error, Exception) else None
    app = create_app(service, settings(log_documents=log_documents))
    client = TestClient(app, raise_server_exceptions=False)
    with caplog.at_level(logging.DEBUG):
        essentials = {"query": "zebra quagga", "documents": ["okapi", "an okapi"]}
        answer = client.post("/v1/rerank", json=essentials | body)
        assert answer.status_code == status, answer.text
    ours = [record for record in caplog.records if record.name.startswith("rlpost")]
    lines = [JsonLines(texts=log_documents).format(record) for record in ours]
    assert any(f'"status": {status}' in line for line in lines)
    if not log_documents:
        assert not [line for line in lines if any(secret in line for secret in SECRETS)]
    elif error is not None and error != "slow":
        assert any(secret in line for line in lines for secret in SECRETS)


def test_the_log_tells_where_and_of_what_kind_an_error_was() -> None:
    record = logging.LogRecord("rlpost.serve", logging.ERROR, "", 0, "failed", None, None)
    error = failing()
    record.exc_info = (type(error), error, error.__traceback__)
    told = json.loads(JsonLines().format(record))["exception"]
    assert "KeyError: (message left out" in told
    assert told.index("KeyError") < told.index("caused") < told.index("TroubleError: (message")
    assert ", in failing" in told
    assert "zebra" in JsonLines(texts=True).format(record)


def test_lines_of_the_event_loop_end_before_the_error_that_they_quote() -> None:
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("rlpost.serve", "uvicorn", "asyncio")]
    before = [(one.handlers, one.level, one.propagate) for one in loggers]
    try:
        log_to(stream)

        async def forget() -> None:
            async def fail() -> None:
                raise failing()

            task = asyncio.create_task(fail())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            del task
            gc.collect()

        asyncio.run(forget())
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=True)
    finally:
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0]["event"] == "Task exception was never retrieved"
    assert not any(secret in stream.getvalue() for secret in SECRETS)
