"""Each API as its own documentation has it: recorded requests, schemas of answers and errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.testclient import TestClient

from rankers.serve.http.app import create_app
from tests.rankers.serve.fakes import WordService, settings

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
CLIENT = TestClient(create_app(WordService(), settings()))

each_api = pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    contract: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return contract


@each_api
def test_the_answer_has_the_recorded_form(file: Path) -> None:
    api = read(file)
    answer = CLIENT.post(api["path"], json=api["request"])
    assert answer.status_code == 200, answer.text
    Draft202012Validator(api["response"]).validate(answer.json())


@each_api
@pytest.mark.parametrize("wrong", ["unknown model", "no documents", "not a text"])
def test_errors_have_the_form_of_their_api(file: Path, wrong: str) -> None:
    api = read(file)
    texts = next(
        name for name in ("documents", "texts", "text_2", "input") if name in api["request"]
    )
    change, status, says = {
        "unknown model": ({"model": "gpt"}, 404, "words, order, vectors"),
        "no documents": ({texts: []}, 422, ""),
        "not a text": ({texts: ["a", 7]}, 422, texts),
    }[wrong]
    answer = CLIENT.post(api["path"], json=api["request"] | change)
    assert answer.status_code == status
    assert says in answer.text
    Draft202012Validator(api["error"]).validate(answer.json())


@each_api
def test_an_unknown_field_changes_nothing_and_is_named(file: Path) -> None:
    api = read(file)
    answer = CLIENT.post(api["path"], json=api["request"] | {"topn": 3})
    assert answer.status_code == 200, answer.text
    plain = answer.json()
    told = json.loads(answer.headers["x-rlpost-warnings"])
    assert told[-1].startswith("topn: there is no such field, and it has no effect")
    if isinstance(plain, dict) and "meta" in plain:
        assert plain["meta"]["warnings"] == told
    Draft202012Validator(api["response"]).validate(plain)


def test_results_are_best_first_and_hold_their_own_document() -> None:
    documents = ["dogs bark", "the cat and the dog", "a cat"]
    answer = CLIENT.post("/v1/rerank", json={"query": "cat dog", "documents": documents}).json()
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]
    for result in answer["results"]:
        assert result["document"]["text"] == documents[result["index"]]
    tei = CLIENT.post("/rerank", json={"query": "cat dog", "texts": documents, "return_text": True})
    assert [(hit["index"], hit["text"]) for hit in tei.json()] == [
        (i, documents[i]) for i in (1, 2, 0)
    ]


def test_ties_stay_in_the_order_of_the_input_and_top_n_is_clamped() -> None:
    body = {"model": "words", "query": "cat", "documents": ["x", "y", "cat", "z"], "top_n": 99}
    results = CLIENT.post("/v2/rerank", json=body).json()["results"]
    assert [result["index"] for result in results] == [2, 0, 1, 3]


def test_a_method_that_only_orders_gives_places_as_relevance() -> None:
    body = {"model": "order", "query": "cat", "documents": ["x", "cat", "y", "z"]}
    results = CLIENT.post("/v2/rerank", json=body).json()["results"]
    assert [result["relevance_score"] for result in results] == [1.0, 0.75, 0.5, 0.25]
    pairs = {"model": "order", "queries": ["a", "b"], "documents": ["a", "b"]}
    refused = CLIENT.post("/score", json=pairs)
    assert refused.status_code == 422
    assert "cannot score pairs" in refused.text


def test_scores_of_pairs_are_those_of_the_pairs_alone() -> None:
    pairs = [("cat", "a cat"), ("dog", "a cat"), ("dog bark", "a dog")]
    body = {"queries": [q for q, _ in pairs], "documents": [d for _, d in pairs]}
    together = CLIENT.post("/score", json=body).json()["data"]
    for (query, document), score in zip(pairs, together, strict=True):
        alone = CLIENT.post("/score", json={"queries": query, "items": [document]}).json()
        assert alone["data"][0]["score"] == score["score"]


def test_the_extension_is_in_the_answer_where_it_is_in_the_request() -> None:
    body = {"model": "words", "query": "cat", "documents": ["x", "cat"]}
    assert "rlpost" not in CLIENT.post("/v2/rerank", json=body).json()
    told = CLIENT.post("/v2/rerank", json=body | {"rlpost": {"explain": True}}).json()["rlpost"]
    assert told["score_kind"] == "logit"
    assert told["scores"] == sorted(told["scores"], reverse=True)
    assert told["reasoning"] == ["I read 2 passages"]
    assert told["trace"]["calls"] == 1


def test_fields_named_for_ranking_are_what_the_model_reads() -> None:
    service = WordService()
    client = TestClient(create_app(service, settings()))
    documents = [{"title": "Cats", "text": "They purr.", "url": "x"}, "plain"]
    body = {"query": "q", "documents": documents, "rank_fields": ["text", "title"]}
    answer = client.post("/v1/rerank", json=body).json()
    assert [p.text for p in service.jobs[0].passages] == ["text: They purr.\ntitle: Cats", "plain"]
    assert {"title": "Cats", "text": "They purr.", "url": "x"} in [
        result["document"] for result in answer["results"]
    ]


def test_documents_are_cut_by_words_and_marks_where_asked() -> None:
    service = WordService()
    client = TestClient(create_app(service, settings()))
    body = {"model": "words", "query": "q", "documents": ["One, two three.", "one"]}
    client.post("/v2/rerank", json=body | {"max_tokens_per_doc": 3})
    assert [p.text for p in service.jobs[0].passages] == ["One, two", "one"]


def test_priority_zero_goes_first() -> None:
    service = WordService()
    client = TestClient(create_app(service, settings()))
    body = {"model": "words", "query": "q", "documents": ["d"]}
    for more in ({}, {"priority": 5}, {"priority": 5, "rlpost": {"priority": 7}}):
        client.post("/v2/rerank", json=body | more)
    assert [job.priority for job in service.jobs] == [0, -5, -7]


def test_the_same_question_is_the_same_query_to_the_engine() -> None:
    service = WordService()
    client = TestClient(create_app(service, settings()))
    for query in ("cat", "cat", "dog"):
        client.post("/v1/rerank", json={"query": query, "documents": ["d"]})
    one, two, other = [job.query.id for job in service.jobs]
    assert one == two != other


def test_embeddings_in_base64_are_those_in_numbers() -> None:
    import base64

    import numpy as np

    body = {"input": ["a", "b"], "model": "vectors"}
    numbers = CLIENT.post("/v1/embeddings", json=body).json()["data"]
    coded = CLIENT.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()["data"]
    for plain, packed in zip(numbers, coded, strict=True):
        vector = np.frombuffer(base64.b64decode(packed["embedding"]), dtype="<f4")
        assert vector.tolist() == plain["embedding"]
