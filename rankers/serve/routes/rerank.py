"""The rerank routes: Cohere's, the one of Jina, vLLM and Cohere v1, and TEI's."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Discriminator, Tag

from rankers.serve.limits import BoundedRoute
from rankers.serve.ranking import Desk, Ranked
from rankers.serve.routes.documented import errors
from rankers.serve.schemas.cohere import (
    ApiVersion,
    BilledUnits,
    CohereAnswer,
    CohereError,
    CohereRequest,
    CohereResult,
    Meta,
    Tokens,
)
from rankers.serve.schemas.jina import (
    DocumentObject,
    JinaAnswer,
    JinaRequest,
    JinaResult,
    UnionError,
    Usage,
)
from rankers.serve.schemas.tei import TeiAnswer, TeiError, TeiRequest, TeiResult

DOCUMENTS_PER_SEARCH_UNIT = 100
"""Cohere's price list."""
PIECE = re.compile(r"\w+|[^\w\s]")


def router(desk: Desk) -> APIRouter:
    """/v2/rerank, /v1/rerank and /rerank."""
    routes = APIRouter(route_class=BoundedRoute, tags=["rerank"])

    @routes.post("/v2/rerank", response_model=CohereAnswer, responses=errors(CohereError))
    async def cohere(request: Request, body: CohereRequest) -> Response:
        """Rank documents: Cohere's API, version 2."""
        return as_json(await _cohere(desk, request, body))

    @routes.post("/v1/rerank", response_model=JinaAnswer, responses=errors(UnionError))
    async def jina(request: Request, body: JinaRequest) -> Response:
        """Rank documents: the API of Jina, vLLM and Cohere's version 1."""
        return as_json(await _jina(desk, request, body))

    @routes.post(
        "/rerank",
        response_model=TeiAnswer | JinaAnswer,
        responses=errors(TeiError | UnionError),
    )
    async def either(request: Request, body: Annotated[TeiOrJina, Body()]) -> Response:
        """Rank `texts` as text-embeddings-inference does, `documents` as /v1/rerank."""
        if isinstance(body, JinaRequest):
            return as_json(await _jina(desk, request, body))
        return as_json(await _tei(desk, request, body))

    return routes


def _which(body: Any) -> str:
    texts = "texts" in body if isinstance(body, dict) else isinstance(body, TeiRequest)
    return "<texts>" if texts else "<documents>"


TeiOrJina = Annotated[
    Annotated[TeiRequest, Tag("<texts>")] | Annotated[JinaRequest, Tag("<documents>")],
    Discriminator(_which),
]


async def _cohere(desk: Desk, request: Request, body: CohereRequest) -> CohereAnswer:
    model = desk.model(body.model)
    desk.check(body.query, body.documents, named="documents")
    texts = cut(body.documents, body.max_tokens_per_doc)
    [ranked] = await desk.rank(
        request, model, [(body.query, texts)], body.rlpost, priority=body.priority
    )
    return CohereAnswer(
        id=request.state.id,
        results=[
            CohereResult(index=i, relevance_score=score) for i, score in ranked.top(body.top_n)
        ],
        meta=_meta(ranked, "2"),
        rlpost=ranked.told(body.rlpost),
    )


async def _jina(desk: Desk, request: Request, body: JinaRequest) -> JinaAnswer:
    model = desk.model(body.model)
    texts = body.texts()
    desk.check(body.query, texts, named="documents")
    [ranked] = await desk.rank(
        request,
        model,
        [(body.query, cut(texts, body.max_tokens_per_doc))],
        body.rlpost,
        priority=body.priority,
    )
    trace = ranked.ranking.trace
    return JinaAnswer(
        id=request.state.id,
        model=model.name,
        results=[
            JinaResult(
                index=i,
                relevance_score=score,
                document=_object(body.documents[i]) if body.return_documents else None,
            )
            for i, score in ranked.top(body.top_n or None)
        ],
        usage=Usage(
            prompt_tokens=trace.prompt_tokens,
            total_tokens=trace.prompt_tokens + trace.generated_tokens,
        ),
        meta=_meta(ranked, "1"),
        rlpost=ranked.told(body.rlpost),
    )


async def _tei(desk: Desk, request: Request, body: TeiRequest) -> TeiAnswer:
    model = desk.model(body.model)
    desk.check(body.query, body.texts, named="texts")
    [ranked] = await desk.rank(request, model, [(body.query, body.texts)], body.rlpost)
    # A ranking without scores has its places to show for them, raw or not.
    raw = body.raw_scores and ranked.ranking.scores
    scores = ranked.ranking.scores if raw else ranked.relevance
    return TeiAnswer(
        [
            TeiResult(index=i, score=score, text=body.texts[i] if body.return_text else None)
            for i, score in zip(ranked.ranking.order, scores, strict=True)
        ]
    )


def cut(texts: Sequence[str], tokens: int | None) -> Sequence[str]:
    """Texts of ``tokens`` words and punctuation marks at most: tokens differ between models."""
    if tokens is None:
        return texts
    return [_cut(text, tokens) for text in texts]


def _cut(text: str, tokens: int) -> str:
    if len(text) <= tokens:
        return text
    for count, piece in enumerate(PIECE.finditer(text)):
        if count == tokens:
            return text[: piece.start()].rstrip()
    return text


def _meta(ranked: Ranked, version: str) -> Meta:
    trace = ranked.ranking.trace
    units = math.ceil(len(ranked.ranking.order) / DOCUMENTS_PER_SEARCH_UNIT)
    return Meta(
        api_version=ApiVersion(version=version),
        billed_units=BilledUnits(search_units=units),
        tokens=Tokens(input_tokens=trace.prompt_tokens, output_tokens=trace.generated_tokens),
        warnings=ranked.warnings(),
    )


def _object(document: str | DocumentObject) -> DocumentObject:
    return DocumentObject(text=document) if isinstance(document, str) else document


def as_json(answer: BaseModel) -> Response:
    """What is None is left out, as the APIs do."""
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")
