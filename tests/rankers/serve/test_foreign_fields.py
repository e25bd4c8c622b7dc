"""What clients of vLLM, TEI, Jina, Cohere, Infinity and proxies send beside the essentials."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from rankers.serve.http.app import create_app
from tests.rankers.serve.fakes import WordService, settings

DOCUMENTS = ["dogs bark", "the cat and the dog", "a cat"]
RANKED = [1, 2, 0]
BODY: dict[str, Any] = {"query": "cat dog", "documents": DOCUMENTS}
TEXTS: dict[str, Any] = {"query": "cat dog", "texts": DOCUMENTS}
PAIRS: dict[str, Any] = {"text_1": "cat dog", "text_2": DOCUMENTS}
VLLM_DEFAULTS = {
    "model": None,
    "user": None,
    "truncate_prompt_tokens": None,
    "padding": None,
    "truncation_side": None,
    "priority": 0,
    "mm_processor_kwargs": None,
    "cache_salt": None,
    "use_activation": None,
    "max_tokens_per_query": 0,
    "max_tokens_per_doc": 0,
    "instruction": None,
    "chat_template_kwargs": None,
    "top_n": 0,
}
"""Every field of vLLM's RerankRequest as a client that writes out defaults sends it."""


def asking(service: WordService | None = None) -> TestClient:
    return TestClient(create_app(service or WordService(), settings()))


def order(answer: Any) -> list[int]:
    found = answer.json()
    return [hit["index"] for hit in (found if isinstance(found, list) else found["results"])]


def remarks(answer: Any) -> list[str]:
    told: list[str] = json.loads(answer.headers.get("x-rlpost-warnings", "[]"))
    if isinstance(answer.json(), dict) and "meta" in answer.json():
        assert (answer.json()["meta"].get("warnings") or []) == told
    return told


IDLE = {
    "instruction": "Find functions",
    "chat_template_kwargs": {"instruction": "Find functions"},
    "truncation_side": "left",
    "truncate_prompt_tokens": 64,
    "add_special_tokens": False,
    "user": "me",
    "request_id": "abc",
    "cache_salt": "salt",
    "mm_processor_kwargs": {},
    "max_chunks_per_doc": 10,
    "truncation": False,
    "normalize": True,
    "max_length": 512,
    "overlap_tokens": 80,
    "multi_modal": [[1, 2], {"a": "b"}],
}


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank", "/v1/reranking"])
@pytest.mark.parametrize("field", IDLE)
def test_a_field_without_effect_is_taken_and_named(path: str, field: str) -> None:
    answer = asking().post(path, json=BODY | {field: IDLE[field]})
    assert answer.status_code == 200, answer.text
    assert order(answer) == RANKED
    [told] = remarks(answer)
    assert told.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("path", "body"), [("/rerank", TEXTS), ("/score", PAIRS), ("/v1/embeddings", {"input": "a"})]
)
@pytest.mark.parametrize("field", ["user", "truncation_side", "sampler"])
def test_so_it_is_where_the_answer_has_no_place_for_it(
    path: str, body: dict[str, Any], field: str
) -> None:
    answer = asking().post(path, json=body | {field: "left"})
    assert answer.status_code == 200, answer.text
    assert remarks(answer)[0].startswith(f"{field}: ")


@pytest.mark.parametrize(
    "more",
    [
        {"truncation_side": "right"},
        {"truncate_prompt_tokens": -1},
        {"truncation": True},
        {"use_activation": True},
        {"max_tokens_per_doc": 0},
        {"max_tokens_per_query": 0},
        {"top_n": 0},
        {"user": None, "instruction": None},
        {"priority": -(2**63)},
        {"priority": 2**63 - 1},
    ],
)
def test_what_is_so_anyway_needs_no_remark(more: dict[str, Any]) -> None:
    answer = asking().post("/v1/rerank", json=BODY | more)
    assert (answer.status_code, order(answer), remarks(answer)) == (200, RANKED, [])


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank", "/v1/rerank/"])
def test_a_request_of_vllm_with_all_its_defaults(path: str) -> None:
    answer = asking().post(path, json=BODY | VLLM_DEFAULTS)
    assert (answer.status_code, order(answer), remarks(answer)) == (200, RANKED, [])
    scored = asking().post("/score", json=PAIRS | VLLM_DEFAULTS)
    assert scored.status_code == 200
    assert remarks(scored) == ["top_n: there is no such field, and it has no effect"]


def test_a_name_that_is_nearly_right_is_told_the_right_one() -> None:
    answer = asking().post("/v2/rerank", json=BODY | {"topn": 1, "max_token_per_doc": 3})
    assert remarks(answer) == [
        "topn: there is no such field, and it has no effect: did you mean 'top_n'?",
        "max_token_per_doc: there is no such field, and it has no effect: did you mean "
        "'max_tokens_per_doc'?",
    ]


def test_remarks_stay_few_and_short() -> None:
    answer = asking().post("/v1/rerank", json=BODY | {f"{n}\u4e2d\n" * 40: n for n in range(9)})
    told = remarks(answer)
    assert len(told) == 6
    assert told[-1] == "and 4 more fields have no effect"
    assert len(answer.headers["x-rlpost-warnings"]) < 4000


@pytest.mark.parametrize("name", ["top_n", "top_k"])
def test_either_name_of_the_number_of_results(name: str) -> None:
    for path, body in (("/v1/rerank", BODY), ("/v2/rerank", BODY), ("/rerank", TEXTS)):
        assert order(asking().post(path, json=body | {name: 2})) == RANKED[:2]
        both = body | {"top_n": 1, "top_k": 2}
        assert "two names for one number" in asking().post(path, json=both).text


def test_one_document_as_a_text() -> None:
    for path in ("/v1/rerank", "/rerank", "/v2/rerank"):
        answer = asking().post(path, json={"query": "cat", "documents": "a cat"})
        assert (answer.status_code, order(answer)) == (200, [0])


def test_objects_with_values_of_any_kind_and_queries_as_objects() -> None:
    service = WordService()
    documents = [{"text": "a cat", "id": 7, "meta": {"tags": ["x"]}}, {"text": "b", "score": None}]
    body = {"query": {"text": "cat"}, "documents": documents, "rank_fields": ["text", "id", "meta"]}
    answer = asking(service).post("/v1/rerank", json=body)
    assert answer.status_code == 200, answer.text
    assert service.jobs[0].query.text == "cat"
    assert [passage.text for passage in service.jobs[0].passages] == [
        'text: a cat\nid: 7\nmeta: {"tags": ["x"]}',
        "text: b",
    ]
    assert answer.json()["results"][0]["document"] == documents[0]
    assert asking().post("/v2/rerank", json=BODY | {"documents": documents}).is_success
    titled = asking().post("/v1/rerank", json=BODY | {"documents": [{"title": "t"}]})
    assert titled.status_code == 422
    assert "documents.0 has no field text" in titled.text


def test_queries_and_documents_are_cut_where_asked() -> None:
    service = WordService()
    body = {"query": "one two three", "documents": ["a, b c"], "max_tokens_per_query": 2}
    client = asking(service)
    client.post("/v1/rerank", json=body | {"max_tokens_per_doc": 2})
    client.post("/score", json={"text_1": "one two", "text_2": "a b c", "max_tokens_per_doc": 2})
    client.post("/score", json={"text_1": "one two", "text_2": "a", "max_tokens_per_query": 1})
    texts = [(job.query.text, job.passages[0].text) for job in service.jobs]
    assert texts == [("one two", "a,"), ("one two", "a b"), ("one", "a")]
    assert client.post("/v1/rerank", json=body | {"max_tokens_per_query": -1}).status_code == 422


@pytest.mark.parametrize("more", [{"raw_scores": True}, {"use_activation": False}])
def test_scores_as_the_method_gives_them(more: dict[str, Any]) -> None:
    told = asking().post("/v2/rerank", json=BODY | {"rlpost": {}}).json()["rlpost"]["scores"]
    answer = asking().post("/v1/rerank", json=BODY | more).json()
    assert [hit["relevance_score"] for hit in answer["results"]] == told
    assert max(told) > 1
    if "use_activation" in more:
        pairs = asking().post("/score", json=PAIRS | more).json()["data"]
        assert [pairs[i]["score"] for i in RANKED] == told


def test_documents_come_back_where_asked() -> None:
    def has(path: str, more: dict[str, Any]) -> bool:
        return "document" in asking().post(path, json=BODY | more).json()["results"][0]

    assert has("/v1/rerank", {})
    assert has("/v1/rerank", {"return_documents": None})
    assert not has("/v1/rerank", {"return_documents": False})
    assert not has("/v2/rerank", {})
    assert has("/v2/rerank", {"return_documents": True})


def test_texts_are_teis_under_either_path_and_may_be_objects() -> None:
    for path in ("/rerank", "/v1/rerank", "/reranking"):
        body = {"query": "cat", "texts": ["b", {"text": "a cat"}], "return_text": True}
        sent = {"raw_scores": False, "truncation_direction": "Right", "truncate": True, "top_n": 1}
        answer = asking().post(path, json=body | sent)
        assert answer.status_code == 200, answer.text
        assert remarks(answer) == []
        [hit] = answer.json()
        assert (hit["index"], hit["text"]) == (1, "a cat")
        wrong = asking().post(path, json=body | {"texts": [1]})
        assert wrong.json()["error_type"] == "Validation"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"dimensions": 4}, 200),
        ({"dimensions": 2}, 422),
        ({"input_type": "query"}, 422),
        ({"input_type": "search_query"}, 422),
        ({"input_type": "search_document"}, 200),
        ({"input_type": "passage"}, 200),
        ({"task": "retrieval.query"}, 422),
        ({"task": "retrieval.passage"}, 200),
        ({"prompt_name": "query"}, 422),
        ({"embed_dtype": "float16", "encoding_format": "base64"}, 422),
        ({"endianness": "big"}, 422),
        ({"endianness": "native", "embed_dtype": "float32"}, 200),
        ({"encoding_format": None}, 200),
    ],
)
def test_embeddings_are_what_was_asked_for_or_refused(more: dict[str, Any], status: int) -> None:
    answer = asking().post("/v1/embeddings", json={"input": "a", "model": "vectors"} | more)
    assert answer.status_code == status, answer.text
    assert status == 200 or next(iter(more)) in answer.text


def test_one_model_is_told_by_name_and_alias() -> None:
    client = asking()
    every = client.get("/v1/models").json()["data"]
    assert client.get("/v1/models/words").json() == every[0]
    assert client.get("/v1/models/rerank-v3.5/").json() == every[0]
    unknown = client.get("/v1/models/org/name")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"].endswith("use one of words, order, vectors")


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ready", "/live", "/ping", "/metrics", "/v1/models", "/info"]
)
def test_head_is_get_without_the_body(path: str) -> None:
    client = asking()
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/v1/rerank").status_code == 405


def test_slashes_at_the_end_and_other_names_keep_keys_and_shapes() -> None:
    client = TestClient(create_app(WordService(), settings(keys=["k"])))
    for path in ("/v1/rerank/", "/v1/reranking", "/embeddings", "/models", "/v1/models/"):
        assert client.post(path, json=BODY).status_code == 401, path
    for path in ("/health/", "/ready/", "/live", "/"):
        assert client.get(path).status_code == 200
    key = {"Authorization": "Bearer k"}
    assert "message" in client.post("/v2/rerank/", json={}, headers=key).json()
    assert "error_type" in client.post("/rerank/", json={"texts": 1}, headers=key).json()
