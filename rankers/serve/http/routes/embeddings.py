"""The embeddings route, which is OpenAI's."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from rankers.serve.http.errors import Refusal
from rankers.serve.http.handlers import RankingHandlers, unless_gone
from rankers.serve.http.limits import BoundedRoute
from rankers.serve.http.routes.documented import errors
from rankers.serve.http.routes.rerank import answer_json
from rankers.serve.http.schemas.base import Control
from rankers.serve.http.schemas.embeddings import Embedding, EmbeddingsAnswer, EmbeddingsRequest
from rankers.serve.http.schemas.jina import OpenAiError, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def router(handlers: RankingHandlers) -> APIRouter:
    """/v1/embeddings."""
    routes = APIRouter(route_class=BoundedRoute, tags=["embeddings"])

    @routes.post("/v1/embeddings", response_model=EmbeddingsAnswer, responses=errors(OpenAiError))
    async def embeddings(request: Request, body: EmbeddingsRequest) -> Response:
        """Embed texts with an embedding ranker, as it embeds documents."""
        return answer_json(await _embeddings(handlers, request, body), body.remarks())

    return routes


async def _embeddings(
    handlers: RankingHandlers, request: Request, body: EmbeddingsRequest
) -> EmbeddingsAnswer:
    able = [info.name for info in handlers.service.models.values() if info.embeds]
    model = handlers.model(body.model or (able[0] if able else None))
    if not model.embeds:
        remedy = f"use {' or '.join(able)}" if able else "serve e2rank or bi-encoder for that"
        raise Refusal(
            422, f"model: {model.name} ({model.method}) has no embeddings: {remedy}", field="model"
        )
    texts = [body.input] if isinstance(body.input, str) else body.input
    handlers.check_texts(texts, named="input")
    request.state.log |= {"model": model.name, "documents": len(texts)}
    deadline = handlers.deadline(request, body.rlpost or Control())
    embedded = await unless_gone(
        request, handlers.service.embed(model.name, texts, deadline=deadline)
    )
    size = embedded.vectors.shape[1]
    if body.dimensions not in (None, size):
        raise Refusal(
            422,
            f"dimensions: {model.name} has {size}, and they are given whole: leave it out",
            field="dimensions",
        )
    return EmbeddingsAnswer(
        data=[
            Embedding(index=i, embedding=_encoded(vector, body.encoding_format))
            for i, vector in enumerate(embedded.vectors)
        ],
        model=model.name,
        usage=Usage(prompt_tokens=embedded.tokens, total_tokens=embedded.tokens),
    )


def _encoded(vector: NDArray[np.float32], form: str | None) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers
