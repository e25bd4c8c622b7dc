"""What the server says about itself: health, readiness, models, metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from rankers.serve.engine.service import ModelInfo
from rankers.serve.http.handlers import RankingHandlers
from rankers.serve.http.routes.rerank import answer_json
from rankers.serve.http.schemas.jina import OpenAiError
from rankers.serve.http.schemas.state import (
    InfoAnswer,
    ModelAnswer,
    ModelsAnswer,
    RerankerType,
    StateAnswer,
    model_answer,
)


def router(handlers: RankingHandlers) -> APIRouter:
    """/health, /ready, /info, /v1/models and /metrics."""
    routes = APIRouter(tags=["state"])
    started = int(time.time())

    def told(info: ModelInfo) -> ModelAnswer:
        most = handlers.settings.limits.documents
        return model_answer(info, aliases=_aliases(handlers, info.name), created=started, most=most)

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
        if not handlers.service.ready:
            response.status_code = 503
            return StateAnswer(status="loading")
        return StateAnswer(status="ok")

    @routes.get("/v1/models", response_model=ModelsAnswer)
    async def models() -> Response:
        """The models, with what their scores mean."""
        return answer_json(
            ModelsAnswer(data=[told(info) for info in handlers.service.models.values()])
        )

    @routes.get("/v1/models/{name:path}", response_model=ModelAnswer, responses=UNKNOWN)
    async def one_model(name: str) -> Response:
        """One of them, by name or alias."""
        return answer_json(told(handlers.model(name)))

    @routes.get("/info", response_model=InfoAnswer)
    async def info() -> Response:
        """About the server, with the names that TEI's clients look for."""
        limits = handlers.settings.limits
        default = handlers.model(None)
        return answer_json(
            InfoAnswer(
                model_id=default.name,
                model_type=RerankerType(reranker=LABELS),
                max_concurrent_requests=limits.queue_jobs,
                max_client_batch_size=limits.documents,
                version=version("rlpost"),
                models=list(handlers.service.models),
            )
        )

    @routes.get("/metrics", response_class=Response, responses=PLAIN)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(handlers.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return routes


LABELS: Mapping[str, dict[str, str]] = {
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": "0"},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": OpenAiError}}
PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


def _aliases(handlers: RankingHandlers, name: str) -> list[str]:
    return [
        alias for alias, of in handlers.settings.aliases.items() if of == name and alias != name
    ]
