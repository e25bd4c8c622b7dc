"""The rerank routes: Cohere's, the one of Jina, vLLM and Cohere v1, and TEI's."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Discriminator, Tag

from rankers.serve.http.handlers import RankedAnswer, RankingHandlers
from rankers.serve.http.limits import BoundedRoute
from rankers.serve.http.routes.documented import errors
from rankers.serve.http.schemas.cohere import (
    ApiVersion,
    BilledUnits,
    CohereAnswer,
    CohereError,
    CohereRequest,
    CohereResult,
    Meta,
    Tokens,
)
from rankers.serve.http.schemas.documents import DocumentObject, listed
from rankers.serve.http.schemas.jina import JinaAnswer, JinaRequest, JinaResult, UnionError, Usage
from rankers.serve.http.schemas.tei import TeiAnswer, TeiError, TeiRequest, TeiResult

WARNINGS_HEADER = "X-Rlpost-Warnings"
"""A JSON list of sentences about fields without effect."""
DOCUMENTS_PER_SEARCH_UNIT = 100
"""Cohere's price list."""
PIECE = re.compile(r"\w+|[^\w\s]")


def router(handlers: RankingHandlers) -> APIRouter:
    """/v2/rerank, /v1/rerank and /rerank."""
    routes = APIRouter(route_class=BoundedRoute, tags=["rerank"])

    @routes.post("/v2/rerank", response_model=CohereAnswer, responses=errors(CohereError))
    async def cohere(request: Request, body: CohereRequest) -> Response:
        """Rank documents: Cohere's API, version 2."""
        return await _cohere(handlers, request, body)

    @routes.post(
        "/v1/rerank",
        response_model=TeiAnswer | JinaAnswer,
        responses=errors(TeiError | UnionError),
    )
    @routes.post(
        "/rerank",
        response_model=TeiAnswer | JinaAnswer,
        responses=errors(TeiError | UnionError),
    )
    async def either(request: Request, body: Annotated[TeiOrJina, Body()]) -> Response:
        """Rank `documents`: the API of Jina, vLLM and Cohere's version 1; `texts`: TEI's."""
        if isinstance(body, JinaRequest):
            return await _jina(handlers, request, body)
        return await _tei(handlers, request, body)

    return routes


def _which(body: Any) -> str:
    texts = "texts" in body if isinstance(body, dict) else isinstance(body, TeiRequest)
    return "<texts>" if texts else "<documents>"


TeiOrJina = Annotated[
    Annotated[TeiRequest, Tag("<texts>")] | Annotated[JinaRequest, Tag("<documents>")],
    Discriminator(_which),
]


async def _cohere(handlers: RankingHandlers, request: Request, body: CohereRequest) -> Response:
    ranked = await _ranked(handlers, request, body, body.priority)
    documents = listed(body.documents) if body.return_documents else None
    return answer_json(
        CohereAnswer(
            id=request.state.id,
            results=[
                CohereResult(
                    index=i,
                    relevance_score=score,
                    document=None if documents is None else _object(documents[i]),
                )
                for i, score in ranked.top(body.most)
            ],
            meta=_meta(ranked, "2", body.remarks()),
            rlpost=ranked.told(body.rlpost),
        ),
        body.remarks(),
    )


async def _jina(handlers: RankingHandlers, request: Request, body: JinaRequest) -> Response:
    ranked = await _ranked(handlers, request, body, body.priority)
    trace = ranked.ranking.trace
    documents = None if body.return_documents is False else listed(body.documents)
    return answer_json(
        JinaAnswer(
            id=request.state.id,
            model=ranked.model.name,
            results=[
                JinaResult(
                    index=i,
                    relevance_score=score,
                    document=None if documents is None else _object(documents[i]),
                )
                for i, score in ranked.top(body.most, raw=body.raw)
            ],
            usage=Usage(
                prompt_tokens=trace.prompt_tokens,
                total_tokens=trace.prompt_tokens + trace.generated_tokens,
            ),
            meta=_meta(ranked, "1", body.remarks()),
            rlpost=ranked.told(body.rlpost),
        ),
        body.remarks(),
    )


async def _ranked(
    handlers: RankingHandlers,
    request: Request,
    body: JinaRequest | CohereRequest,
    priority: int | None,
) -> RankedAnswer:
    model = handlers.model(body.model)
    texts = body.texts()
    handlers.check(body.question, texts, named="documents")
    [query] = cut_documents([body.question], body.max_tokens_per_query)
    [ranked] = await handlers.rank(
        request,
        model,
        [(query, cut_documents(texts, body.max_tokens_per_doc))],
        body.rlpost,
        priority=priority,
    )
    return ranked


async def _tei(handlers: RankingHandlers, request: Request, body: TeiRequest) -> Response:
    model = handlers.model(body.model)
    texts = body.read()
    handlers.check(body.query, texts, named="texts")
    [ranked] = await handlers.rank(request, model, [(body.query, texts)], body.rlpost)
    # A ranking without scores has its places to show for them, raw or not.
    placed = ranked.top(body.top_n or body.top_k or None, raw=bool(body.raw_scores))
    results = [
        TeiResult(index=i, score=score, text=texts[i] if body.return_text else None)
        for i, score in placed
    ]
    return answer_json(TeiAnswer(results), [*ranked.warnings(), *body.remarks()])


def cut_documents(texts: Sequence[str], tokens: int | None) -> Sequence[str]:
    """Texts of ``tokens`` words and punctuation marks at most: tokens differ between models."""
    if not tokens:
        return texts
    return [_cut(text, tokens) for text in texts]


def _cut(text: str, tokens: int) -> str:
    if len(text) <= tokens:
        return text
    for count, piece in enumerate(PIECE.finditer(text)):
        if count == tokens:
            return text[: piece.start()].rstrip()
    return text


def _meta(ranked: RankedAnswer, version: str, remarks: list[str]) -> Meta:
    trace = ranked.ranking.trace
    units = math.ceil(len(ranked.ranking.order) / DOCUMENTS_PER_SEARCH_UNIT)
    return Meta(
        api_version=ApiVersion(version=version),
        billed_units=BilledUnits(search_units=units),
        tokens=Tokens(input_tokens=trace.prompt_tokens, output_tokens=trace.generated_tokens),
        warnings=[*ranked.warnings(), *remarks] or None,
    )


def _object(document: str | DocumentObject) -> DocumentObject:
    return DocumentObject(text=document) if isinstance(document, str) else document


def answer_json(answer: BaseModel, remarks: Sequence[str] = ()) -> Response:
    """What is None is left out, as the APIs do; ``remarks`` are in a header, which all APIs have
    room for.
    """
    headers = {WARNINGS_HEADER: json.dumps(remarks)} if remarks else None
    content = answer.model_dump_json(exclude_none=True)
    return Response(content, media_type="application/json", headers=headers)
