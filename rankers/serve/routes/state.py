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
from rankers.serve.schemas.state import (
    InfoAnswer,
    ModelsAnswer,
    RerankerType,
    StateAnswer,
    model_answer,
)


def router(desk: Desk) -> APIRouter:
    """/health, /ready, /info, /v1/models and /metrics."""
    routes = APIRouter(tags=["state"])
    started = int(time.time())

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
        most = desk.settings.limits.documents
        data = [
            model_answer(info, aliases=_aliases(desk, info.name), created=started, most=most)
            for info in desk.service.models.values()
        ]
        return as_json(ModelsAnswer(data=data))

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
PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


def _aliases(desk: Desk, name: str) -> list[str]:
    return [alias for alias, of in desk.settings.aliases.items() if of == name and alias != name]
