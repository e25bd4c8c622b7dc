"""What is refused, with which status, and that nothing a client sends is the server's fault."""

import asyncio
import json
import logging
import math
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from rankers.errors import BackendError, DataError, ScoreError
from rankers.serve.engine.service import EngineLostError
from rankers.serve.http.app import create_app
from rankers.serve.http.schemas.documents import DocumentObject
from rankers.serve.settings import Limits
from tests.rankers.serve.fakes import WordService, settings

BODY = {"model": "words", "query": "cat", "documents": ["a cat", "a dog"]}
SMALL = Limits(body_bytes=2000, documents=3, query_chars=10, document_chars=20)
JSON = {"content-type": "application/json"}


def client(service: WordService | None = None, limits: Limits | None = None) -> TestClient:
    return TestClient(create_app(service or WordService(), settings(limits=limits)))


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"query": "x" * 11}, 422, "query: 11 characters, 10 allowed"),
        ({"query": " \n"}, 422, "query: must not be empty"),
        ({"documents": ["d"] * 4}, 422, "documents: 4 given, 3 allowed"),
        ({"documents": ["d", "x" * 21]}, 422, "documents.1: 21 characters, 20 allowed"),
        ({"documents": 7}, 422, "documents: Input should be a valid list"),
        ({"documents": []}, 422, "documents: List should have at least 1 item"),
        ({"documents": [["a cat"]]}, 422, "documents.0: Input should be a valid string"),
        ({"top_n": -1}, 422, "top_n"),
        ({"top_n": True}, 422, "top_n"),
        ({"top_n": "3"}, 422, "top_n"),
        ({"priority": -1}, 422, "priority"),
        ({"rlpost": {"depth": 1}}, 422, "rlpost.depth: there is no such field"),
        ({"model": "words" * 5}, 404, "use one of words, order, vectors"),
        ({"documents": ["x" * 3000]}, 413, "larger than the 2,000 bytes"),
    ],
)
def test_bad_input_is_told_by_field(change: dict[str, object], status: int, says: str) -> None:
    answer = client(limits=SMALL).post("/v2/rerank", json=BODY | change)
    assert answer.status_code == status
    assert says in answer.json()["message"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "body"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 900, "not valid JSON"),
        (b'{"query": NaN}', "not valid JSON"),
        (b'{"query": "\\ud800"}', "not valid JSON"),
        (b"1" * 1999, "body"),
        (b"null", "body"),
        (b"[]", "body"),
    ],
)
def test_a_body_that_is_no_object_is_422(content: bytes, says: str) -> None:
    asking = client(limits=SMALL)
    for path in ("/v2/rerank", "/v1/rerank", "/rerank", "/score", "/v1/embeddings"):
        answer = asking.post(path, content=content, headers=JSON)
        assert answer.status_code == 422
        assert says in answer.text


WIDE = {str(i): 0 for i in range(101)}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v2/rerank", BODY | WIDE, "body: 104 fields, 100 allowed"),
        ("/v2/rerank", BODY | {"rlpost": WIDE}, "rlpost: 101 fields"),
        ("/v1/rerank", BODY | {"documents": [{"text": "a"}, WIDE]}, "documents.1: 101 fields"),
        ("/v2/rerank", BODY | {"documents": [1] * 1001}, "documents: 1,001 given, 1,000 allowed"),
        ("/rerank", {"query": "q", "texts": ["a"] * 1001}, "texts: 1,001 given"),
        ("/score", {"text_1": ["q"] * 1001, "text_2": "a"}, "text_1: 1,001 given"),
    ],
)
def test_what_would_be_a_mistake_for_every_value_is_one(
    path: str, body: dict[str, Any], says: str
) -> None:
    """1.6 MB of wrong documents took 7 s and 1.2 GB of error messages."""
    answer = client().post(path, json=body)
    assert answer.status_code == 422
    assert says in answer.text
    assert len(answer.content) < 400
    assert ("error_type" in answer.json()) == ("texts" in body)


def test_many_fields_in_many_documents_cost_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    dump = DocumentObject.model_dump

    def counted(self: DocumentObject, **options: Any) -> dict[str, Any]:
        nonlocal read
        read += 1
        return dump(self, **options)

    monkeypatch.setattr(DocumentObject, "model_dump", counted)
    fields = [f"f{i}" for i in range(99)] + ["name"]
    body = {"query": "q", "documents": [{"name": "d"}] * 50, "rank_fields": fields}
    assert client().post("/v1/rerank", json=body).is_success
    assert read <= 3 * 50


def test_a_compressed_body_is_told_to_come_as_it_is() -> None:
    answer = client().post(
        "/v2/rerank", content=b"\x1f\x8b", headers=JSON | {"content-encoding": "gzip"}
    )
    assert answer.status_code == 422
    assert "without Content-Encoding" in answer.text


def test_nobody_is_sent_to_the_host_of_the_request() -> None:
    asking = client()
    asking.follow_redirects = False
    for path, status in (("/v1/rerank/", 405), ("/health/", 200), ("/nowhere/", 404)):
        answer = asking.get(path, headers={"host": "evil.example"})
        assert answer.status_code == status
        assert "location" not in answer.headers


def test_a_body_that_does_not_say_it_is_json_is_told_so() -> None:
    answer = client().post(
        "/v2/rerank", content=json.dumps(BODY), headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["message"]


@pytest.mark.parametrize("host", ["[", "\xff", "a b", "x" * 5000])
def test_a_broken_host_header_breaks_nothing(host: str) -> None:
    heads = [(b"Host", host.encode("latin-1"))]
    assert client().post("/v2/rerank", json=BODY, headers=heads).status_code == 200
    assert client().get("/health", headers=heads).status_code == 200


def test_a_body_without_length_is_refused_while_it_is_read() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 1000
            yield b" " * 1000

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(WordService(), settings(limits=SMALL)))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as asking:
            return await asking.post("/rerank", content=endless(), headers=JSON)

    assert asyncio.run(post()).status_code == 413
    assert sent < 10_000


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ScoreError("passage 3 was scored nan"), 500),
        (BackendError("CUDA error"), 500),
        (EngineLostError("the engine died"), 503),
        (DataError("at most 20 passages"), 422),
        (ZeroDivisionError("a mistake of ours"), 500),
    ],
)
def test_failures_of_the_service_have_an_id_that_the_log_knows(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "rlpost.serve"):
        answer = client(WordService(error=error)).post("/v2/rerank", json=BODY)
    assert answer.status_code == status
    assert answer.json()["id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status == 503)
    failed = [record for record in caplog.records if record.message == "failed"]
    assert [record.__dict__["fields"]["id"] for record in failed] == (
        [answer.json()["id"]] if status == 500 else []
    )


def test_a_mistake_of_ours_is_not_shown_to_clients() -> None:
    answer = client(WordService(error=ZeroDivisionError("secret"))).post("/v2/rerank", json=BODY)
    assert "secret" not in answer.text


def test_nan_is_an_error_and_never_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rankers.serve.fakes.overlap", lambda wanted, found: math.nan)
    for path, texts in (("/v2/rerank", "documents"), ("/rerank", "texts")):
        body = {"query": "q", texts: ["d"]} | ({"model": "words"} if texts == "documents" else {})
        answer = client().post(path, json=body)
        assert answer.status_code == 500
        assert answer.headers["x-request-id"] in answer.text


def test_a_full_queue_is_429_with_the_time_to_come_back() -> None:
    answer = client(WordService(most_jobs=0)).post("/rerank", json={"query": "q", "texts": ["d"]})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["error_type"] == "Overloaded"


def test_deadlines_of_server_and_request_whichever_is_first() -> None:
    slow = client(WordService(delay_s=5), Limits(deadline_s=0.01))
    assert slow.post("/v2/rerank", json=BODY).status_code == 504
    own = client(WordService(delay_s=5))
    assert own.post("/v2/rerank", json=BODY | {"rlpost": {"deadline_ms": 10}}).status_code == 504


def test_a_degraded_ranking_has_a_warning_and_is_refused_where_asked() -> None:
    degraded = client(WordService(failures=2))
    answer = degraded.post("/v2/rerank", json=BODY)
    assert "failed on 2 questions" in answer.json()["meta"]["warnings"][0]
    assert degraded.post("/v2/rerank", json=BODY | {"rlpost": {"strict": True}}).status_code == 500


def test_one_failed_pair_withdraws_the_others() -> None:
    service = WordService(delay_s=0.05, most_jobs=2)
    pairs = {"queries": ["a", "b", "c"], "documents": ["a", "b", "c"]}
    assert client(service).post("/score", json=pairs).status_code == 429
    assert len(service.withdrawn) == 2


def test_many_pairs_do_not_fill_the_queue_by_themselves() -> None:
    service = WordService(delay_s=0.001, most_jobs=64)
    pairs = {"queries": ["cat"] * 300, "documents": ["a cat"] * 300}
    answer = client(service).post("/score", json=pairs)
    assert answer.is_success
    assert len(answer.json()["data"]) == 300


def test_a_thousand_mutilated_bodies_never_break_the_server() -> None:
    asking = TestClient(
        create_app(WordService(), settings(limits=SMALL)), raise_server_exceptions=False
    )
    rng = random.Random(0)
    seeds: list[tuple[str, dict[str, Any]]] = [
        ("/v2/rerank", BODY | {"top_n": 1, "rlpost": {"explain": True}}),
        ("/v1/rerank", {"query": "q", "documents": [{"text": "d"}, "e"], "rank_fields": ["text"]}),
        ("/rerank", {"query": "q", "texts": ["a", "b"], "return_text": True}),
        ("/score", {"text_1": ["a", "b"], "text_2": ["c", "d"]}),
        ("/v1/embeddings", {"input": ["a"], "model": "vectors", "encoding_format": "base64"}),
    ]
    values: list[Any] = [
        None,
        True,
        -1,
        1e308,
        10**30,
        "",
        "\x00",
        "x" * 500,
        [],
        {},
        [[]],
        {"": 0},
        "\U0001f600",
    ]
    statuses = set()
    for number in range(1000):
        path, body = rng.choice(seeds)
        changed = body | {rng.choice([*body, "more", "\u0000"]): rng.choice(values)}
        content = bytearray(json.dumps(changed).encode())
        for _ in range(rng.randrange(4) if number % 2 else 0):
            content[rng.randrange(len(content))] = rng.randrange(256)
        answer = asking.post(path, content=bytes(content), headers=JSON)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (path, bytes(content))
        json.loads(answer.content)
    assert {200, 404, 422} <= statuses
