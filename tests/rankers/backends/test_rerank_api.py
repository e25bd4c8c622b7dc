"""A served reranker as a reranker: what comes back, in what order, and how it fails."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from rankers.backends.rerank_api import KEY, served_reranker
from rankers.errors import BackendError, DataError
from rankers.reranker.reranker import Problem, Reranker
from rankers.types import Passage, Query
from tests import endpoint
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.sockets import serving


@pytest.fixture
def service() -> WordService:
    return WordService()


@pytest.fixture
def url(service: WordService, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(KEY, "secret")
    with serving(service, settings(keys=["secret"], port=0)) as port:
        yield f"http://127.0.0.1:{port}"


def problem(number: int, n: int) -> Problem:
    """The best passage is at place ``number``."""
    passages = [Passage(id="same", text=f"word{i} is here") for i in range(n)]
    return Query(id=str(number), text=f"word{number}"), passages


def test_rankings_are_those_of_their_own_queries(url: str, service: WordService) -> None:
    problems = [problem(number, 50) for number in range(50)]
    reranker: Reranker = pickle.loads(pickle.dumps(served_reranker(url, retries=0)))
    rankings = reranker.rank_many(problems)
    assert [ranking.order[0] for ranking in rankings] == list(range(50))
    assert all(sorted(ranking.order) == list(range(50)) for ranking in rankings)
    assert rankings[0].scores == tuple(float(n) for n in range(50, 0, -1))
    assert len(service.jobs) == 50
    assert reranker.rank(Query(id="", text="a"), []).order == ()
    assert len(service.jobs) == 50


def test_what_fails_in_the_server_is_degraded_or_raised(url: str, service: WordService) -> None:
    reranker = served_reranker(url, retries=0)
    service.error = BackendError("the engine died")
    with pytest.raises(BackendError, match="the engine died"):
        reranker.rank(*problem(1, 3))
    service.error = None
    service.failures = 2  # an order that is in part the input's is none to reward
    with pytest.raises(BackendError, match="failed on 2 questions"):
        reranker.rank(*problem(1, 3))
    service.failures = 0
    service.most_jobs = 1
    service.delay_s = 0.2
    many = reranker.rank_many([problem(number, 3) for number in range(3)])
    assert sorted(ranking.trace.failures for ranking in many) == [0, 1, 1]
    assert all(ranking.order == (0, 1, 2) for ranking in many if ranking.trace.degraded)
    with pytest.raises(BackendError, match="429"):
        reranker.rank_many([problem(number, 3) for number in range(3)], strict=True)


def test_overload_is_waited_out() -> None:
    def busy_once(body: dict[str, Any]) -> endpoint.Reply:
        if len(asked.asked) == 1:
            return endpoint.Reply(status=429, headers={"Retry-After": "0"})
        return endpoint.Reply(body={"results": [{"index": 1}, {"index": 0}]})

    with endpoint.serving(busy_once) as asked:
        ranking = served_reranker(asked.url.removesuffix("/v1")).rank(*problem(1, 2))
    assert ranking.order == (1, 0)
    assert not ranking.trace.degraded
    assert [body["path"] for body in asked.asked] == ["/v1/rerank"] * 2


@pytest.mark.parametrize(
    ("model", "key", "sentence"),
    [("other", "secret", r"404 .*use one of words.*: check the URL"), (None, "wrong", "401")],
)
def test_a_request_that_can_never_work_is_a_mistake(
    url: str, monkeypatch: pytest.MonkeyPatch, model: str | None, key: str, sentence: str
) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(DataError, match=sentence):
        served_reranker(url, model=model).rank(*problem(1, 3))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"results": []}, "not each document once"),
        ({"results": [{"index": 0}, {"index": 0}, {"index": 1}]}, "not each document once"),
        ({"answers": []}, "gave no ranking: KeyError"),
        ({"results": [{"index": "first"}]}, "gave no ranking: ValueError"),
        (["no", "object"], "gave no ranking: TypeError"),
    ],
)
def test_what_is_no_ranking_is_a_failure_of_the_server(body: Any, sentence: str) -> None:
    with endpoint.serving(lambda _: endpoint.Reply(body=body)) as asked:
        reranker = served_reranker(asked.url.removesuffix("/v1"), retries=0)
        with pytest.raises(BackendError, match=sentence):
            reranker.rank(*problem(1, 3))
