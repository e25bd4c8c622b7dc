"""The OpenAPI document is true: what it allows is served, what it forbids is refused."""

import logging
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as options
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from rankers.serve.http.app import create_app
from tests.rankers.serve.fakes import WordService, settings

APP = create_app(WordService(), settings())
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
OPERATIONS = {
    operation.label: operation
    for operation in (result.ok() for result in SCHEMA.get_all_operations())  # type: ignore[union-attr]
}
BEYOND_SCHEMAS = (
    "give queries and documents",
    "neither queries nor",
    "has no field",
    "two names for one number",
    "they are given whole",
)
"""Rules between fields, which the document tells in words."""


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", [label for label in OPERATIONS if label.startswith("POST")])
def test_every_operation_keeps_to_the_document(label: str, mode: GenerationMode) -> None:
    logging.getLogger("rlpost.serve").setLevel(logging.CRITICAL)

    @seed(0)
    @options(
        max_examples=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def check(case: "schemathesis.Case[Any]") -> None:
        answer = case.call()
        assert answer.status_code < 500
        told = answer.text if answer.status_code == 422 else ""
        between = any(rule in told for rule in BEYOND_SCHEMAS)
        case.validate_response(answer, excluded_checks=[positive_data_acceptance] * between)

    check()


def test_the_state_routes_keep_to_the_document() -> None:
    for label, operation in OPERATIONS.items():
        if label.startswith("GET"):
            case = operation.Case(path_parameters={"name": "rerank-v3.5"})
            case.validate_response(case.call())


def test_every_field_is_explained() -> None:
    document = TestClient(APP).get("/openapi.json").json()
    mute = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        if name.endswith("Request") or name == "Extension"
        for field, told in schema["properties"].items()
        if "description" not in told
    ]
    assert mute == []
