"""Numbers of any size, form and kind in every numeric field: an answer or a sentence, never 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from rankers.serve.http.app import create_app
from tests.rankers.serve.fakes import WordService, settings

CLIENT = TestClient(create_app(WordService(), settings()), raise_server_exceptions=False)
JSON = {"content-type": "application/json"}
ESSENTIALS: dict[str, dict[str, Any]] = {
    "/v1/rerank": {"query": "q", "documents": ["a", "b"]},
    "/v2/rerank": {"query": "q", "documents": ["a", "b"]},
    "/rerank": {"query": "q", "texts": ["a", "b"]},
    "/score": {"text_1": "q", "text_2": ["a", "b"]},
    "/v1/embeddings": {"input": "a"},
}
SCHEMAS = {
    "/v1/rerank": "JinaRequest",
    "/v2/rerank": "CohereRequest",
    "/rerank": "TeiRequest",
    "/score": "ScoreRequest",
    "/v1/embeddings": "EmbeddingsRequest",
}
WRITTEN = [
    *("9" * digits for digits in (18, 19, 20, 300, 308, 309, 310, 400, 4000, 4300, 4301, 9000)),
    *("-" + "9" * digits for digits in (1, 19, 309, 4000, 5000)),
    *("1e308", "1e309", "-1e309", "1e999999999", "1e-400", "0.5", "3.0", "-0", "-0.0", "0"),
    *("NaN", "Infinity", "-Infinity", "true", "false", "null", '"3"', '"NaN"', "[]", "{}", "[1]"),
    "1." + "0" * 5000,
    "0x10",
    "1_000",
]


def numeric(name: str) -> Iterator[tuple[str, ...]]:
    """Paths of the fields of a schema, and of ``rlpost`` in it, that take numbers."""
    schemas = CLIENT.get("/openapi.json").json()["components"]["schemas"]
    for field, told in schemas[name]["properties"].items():
        text = json.dumps(told)
        if '"integer"' in text or '"number"' in text:
            yield (field,)
        for inner in ("Extension", "Control"):
            if f"schemas/{inner}" in text:
                yield from ((field, *rest) for rest in numeric(inner))


CASES = [(path, place) for path, name in SCHEMAS.items() for place in numeric(name)]


def test_the_fields_are_found() -> None:
    assert ("/v2/rerank", ("top_n",)) in CASES
    assert ("/rerank", ("rlpost", "deadline_ms")) in CASES
    assert ("/v1/embeddings", ("rlpost", "priority")) in CASES
    assert len(CASES) >= 25


@pytest.mark.parametrize(("path", "place"), CASES, ids=lambda value: str(value))
def test_no_number_is_the_servers_fault(path: str, place: tuple[str, ...]) -> None:
    essentials = json.dumps(ESSENTIALS[path])[:-1]
    for written in WRITTEN:
        value = written
        for name in reversed(place[1:]):
            value = f'{{"{name}": {value}}}'
        content = f'{essentials}, "{place[0]}": {value}}}'
        answer = CLIENT.post(path, content=content, headers=JSON)
        # A deadline of a few milliseconds may well pass on a busy machine.
        fine = (200, 422, 504) if place[-1] == "deadline_ms" else (200, 422)
        assert answer.status_code in fine, (written[:20], answer.text[:200])
        assert answer.status_code == 200 or len(answer.text) < 1000
        if written in ("NaN", "Infinity", "1e309", "true", '"3"', "0.5", "[1]"):
            assert answer.status_code == 422, (written, answer.text[:200])


@pytest.mark.parametrize("digits", [309, 4000])
def test_a_deadline_beyond_all_floats_is_the_servers_own(digits: int) -> None:
    content = '{"query": "q", "documents": ["a"], "rlpost": {"deadline_ms": %s}}' % ("9" * digits)
    answer = CLIENT.post("/v1/rerank", content=content, headers=JSON)
    assert answer.status_code == 200


@pytest.mark.parametrize("written", ["9" * 5000, "-1", "abc", "1e3", "%00", "9" * 300, "NaN"])
def test_numbers_in_paths(written: str) -> None:
    answer = CLIENT.get(f"/page/examples/pydoc/{written}")
    assert answer.status_code in (404, 422)
    assert len(answer.text) < 500
