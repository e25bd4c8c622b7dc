"""The official Cohere clients, unmodified, against a real socket."""

from collections.abc import Iterator
from typing import Any

import cohere
import pytest
from cohere.errors import (
    GatewayTimeoutError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    UnprocessableEntityError,
)

from rankers.serve.settings import Limits
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.sockets import serving

DOCUMENTS = ["dogs bark", "the cat and the dog", "a cat"]
ONCE: dict[str, Any] = {"max_retries": 0}


@pytest.fixture(scope="module")
def service() -> WordService:
    return WordService()


@pytest.fixture(scope="module")
def url(service: WordService) -> Iterator[str]:
    given = settings(port=0, keys=["k"], limits=Limits(documents=5))
    with serving(service, given) as port:
        yield f"http://127.0.0.1:{port}"


def test_client_v2(url: str) -> None:
    client = cohere.ClientV2(api_key="k", base_url=url)
    answer = client.rerank(model="rerank-v3.5", query="cat dog", documents=DOCUMENTS, top_n=2)
    assert [result.index for result in answer.results] == [1, 2]
    assert all(0 <= result.relevance_score <= 1 for result in answer.results)
    assert answer.meta is not None
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.search_units == 1


def test_client_v2_gives_and_gets_the_extension(url: str) -> None:
    client = cohere.ClientV2(api_key="k", base_url=url)
    answer = client.rerank(
        model="words",
        query="cat",
        documents=DOCUMENTS,
        request_options={"additional_body_parameters": {"rlpost": {"explain": True}}},
    )
    assert answer.model_dump()["rlpost"]["reasoning"] == ["I read 3 passages"]


def test_client_v1(url: str) -> None:
    client = cohere.Client(api_key="k", base_url=url)
    answer = client.rerank(
        query="cat dog",
        documents=[{"text": text} for text in DOCUMENTS],
        return_documents=True,
        rank_fields=["text"],
    )
    assert [result.index for result in answer.results] == [1, 2, 0]
    for result in answer.results:
        assert result.document is not None
        assert result.document.text == DOCUMENTS[result.index]


def test_its_errors_are_of_their_kind(url: str, service: WordService) -> None:
    client = cohere.ClientV2(api_key="k", base_url=url)
    ask: dict[str, Any] = {
        "model": "words",
        "query": "q",
        "documents": DOCUMENTS,
        "request_options": ONCE,
    }
    with pytest.raises(UnauthorizedError):
        cohere.ClientV2(api_key="wrong", base_url=url).rerank(**ask)
    with pytest.raises(NotFoundError, match="use one of words"):
        client.rerank(**ask | {"model": "rerank-v9"})
    with pytest.raises(UnprocessableEntityError, match="documents: 6 given, 5 allowed"):
        client.rerank(**ask | {"documents": ["d"] * 6})
    service.most_jobs = 0
    with pytest.raises(TooManyRequestsError):
        client.rerank(**ask)
    service.most_jobs, service.delay_s = 1000, 5
    hasty = {"additional_body_parameters": {"rlpost": {"deadline_ms": 20}}}
    with pytest.raises(GatewayTimeoutError):
        client.rerank(**ask | {"request_options": ONCE | hasty})
    service.delay_s = 0
