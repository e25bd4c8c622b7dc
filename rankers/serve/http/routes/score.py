"""The score routes, which are vLLM's."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from rankers.serve.engine.service import ModelInfo
from rankers.serve.http.errors import Refusal
from rankers.serve.http.handlers import RankingHandlers
from rankers.serve.http.limits import BoundedRoute
from rankers.serve.http.relevance import COMPARABLE
from rankers.serve.http.routes.documented import errors
from rankers.serve.http.routes.rerank import answer_json, cut_documents
from rankers.serve.http.schemas.jina import OpenAiError, Usage
from rankers.serve.http.schemas.score import PairScore, ScoreAnswer, ScoreRequest


def router(handlers: RankingHandlers) -> APIRouter:
    """/score and /v1/score."""
    routes = APIRouter(route_class=BoundedRoute, tags=["score"])

    @routes.post("/score", response_model=ScoreAnswer, responses=errors(OpenAiError))
    @routes.post("/v1/score", response_model=ScoreAnswer, responses=errors(OpenAiError))
    async def score(request: Request, body: ScoreRequest) -> Response:
        """Score one query with many documents, or pairs; answers are in the request's order."""
        return answer_json(await _score(handlers, request, body), body.remarks())

    return routes


async def _score(handlers: RankingHandlers, request: Request, body: ScoreRequest) -> ScoreAnswer:
    model = handlers.model(body.model)
    queries, documents = body.sides()
    handlers.check_texts(documents, named=body.named())
    for query in queries:
        handlers.check_query(query, named="queries")
    problems = _problems(
        model,
        cut_documents(queries, body.max_tokens_per_query),
        cut_documents(documents, body.max_tokens_per_doc),
        named=body.named(),
    )
    ranked = await handlers.rank(request, model, problems, body.rlpost, priority=body.priority)
    raw = body.use_activation is False
    scores = [score for one in ranked for _, score in sorted(one.top(raw=raw))]
    traces = [one.ranking.trace for one in ranked]
    prompt_tokens = sum(trace.prompt_tokens for trace in traces)
    told = [told for one in ranked if (told := one.told(body.rlpost)) is not None]
    return ScoreAnswer(
        id=request.state.id,
        created=int(time.time()),
        model=model.name,
        data=[PairScore(index=i, score=score) for i, score in enumerate(scores)],
        usage=Usage(
            prompt_tokens=prompt_tokens,
            total_tokens=prompt_tokens + sum(trace.generated_tokens for trace in traces),
        ),
        rlpost=told or None,
    )


def _problems(
    model: ModelInfo, queries: Sequence[str], documents: Sequence[str], *, named: str
) -> list[tuple[str, Sequence[str]]]:
    if len(queries) == 1:
        return [(queries[0], documents)]
    if len(queries) != len(documents):
        raise Refusal(
            422,
            f"{named}: {len(documents)} for {len(queries)} queries: give one query, or as many",
            field=named,
        )
    if model.score_kind not in COMPARABLE:
        raise Refusal(
            422,
            f"{model.name} ({model.method}) orders documents and cannot score pairs: give one "
            "query with all its documents, or take a model that scores",
            field=named,
        )
    return [(query, [document]) for query, document in zip(queries, documents, strict=True)]
