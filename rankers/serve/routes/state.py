"""What the server says about itself: health, readiness, models, metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from rankers.serve.ranking import Desk
from rankers.serve.routes.rerank import as_json
from rankers.serve.schemas.jina import OpenAiError
from rankers.serve.schemas.state import (
    InfoAnswer,
    ModelAnswer,
    ModelsAnswer,
    RerankerType,
    StateAnswer,
    model_answer,
)
from rankers.serve.service import ModelInfo


def router(desk: Desk) -> APIRouter:
    """/health, /ready, /info, /v1/models and /metrics."""
    routes = APIRouter(tags=["state"])
    started = int(time.time())

    def told(info: ModelInfo) -> ModelAnswer:
        most = desk.settings.limits.documents
        return model_answer(info, aliases=_aliases(desk, info.name), created=started, most=most)

    @routes.get("/health")
    async def health() -> StateAnswer:
        """Whether the process answers; needs no key."""
        return StateAnswer(status="ok")

    @routes.get("/ready", responses={503: {"model": StateAnswer}})
    async def ready(request: Request, response: Response) -> StateAnswer:
        """Whether requests should be sent here; 503 while loading and draining; needs no key."""
        if request.app.state.draining:
            response.status_code = 503
            return StateAnswer(status="draining")
        if not desk.service.ready:
            response.status_code = 503
            return StateAnswer(status="loading")
        return StateAnswer(status="ok")

    @routes.get("/v1/models", response_model=ModelsAnswer)
    async def models() -> Response:
        """The models, with what their scores mean."""
        return as_json(ModelsAnswer(data=[told(info) for info in desk.service.models.values()]))

    @routes.get("/v1/models/{name:path}", response_model=ModelAnswer, responses=UNKNOWN)
    async def one_model(name: str) -> Response:
        """One of them, by name or alias."""
        return as_json(told(desk.model(name)))

    @routes.get("/info", response_model=InfoAnswer)
    async def info() -> Response:
        """About the server, with the names that TEI's clients look for."""
        limits = desk.settings.limits
        default = desk.model(None)
        return as_json(
            InfoAnswer(
                model_id=default.name,
                model_type=RerankerType(reranker=LABELS),
                max_concurrent_requests=limits.queue_jobs,
                max_client_batch_size=limits.documents,
                version=version("rlpost"),
                models=list(desk.service.models),
            )
        )

    @routes.get("/metrics", response_class=Response, responses=PLAIN)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(desk.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return routes


LABELS: Mapping[str, dict[str, str]] = {
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": "0"},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": OpenAiError}}
PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


def _aliases(desk: Desk, name: str) -> list[str]:
    return [alias for alias, of in desk.settings.aliases.items() if of == name and alias != name]
