"""The web application: routes in front of a ``Service``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from rankers.errors import RankerError
from rankers.serve.engine.service import Service
from rankers.serve.http.addressed import Addressed
from rankers.serve.http.auth import accepted_keys
from rankers.serve.http.errors import answer
from rankers.serve.http.handlers import RankingHandlers
from rankers.serve.http.metrics import ServerMetrics
from rankers.serve.http.middleware import ID_HEADER, RequestMiddleware
from rankers.serve.http.page import routes as page
from rankers.serve.http.routes import embeddings, rerank, score, state
from rankers.serve.http.traffic import Intake, Outlet
from rankers.serve.log import log_failure
from rankers.serve.settings import Settings

DESCRIPTION = """Rerankers under the APIs of Cohere, Jina, vLLM and text-embeddings-inference.

Our own fields are all under one key, `rlpost`, in requests and answers; an answer has it where the
request does. Every answer has the header `X-Request-ID`: that of the request, or one made here."""


def create_app(service: Service, settings: Settings) -> FastAPI:
    """All routes over ``service``, which is drained when the application is shut down.

    ``app.state.draining`` makes /ready say so. Raises DataError where keys are announced and
    missing.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.draining = True
        await service.drain()

    app = FastAPI(
        title="rlpost",
        description=DESCRIPTION,
        version=version("rlpost"),
        lifespan=lifespan,
        docs_url=None,  # its page would load its scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to the host, and without the TLS, that the request speaks of
    )
    app.state.settings, app.state.draining = settings, False
    app.state.intake = Intake(settings.limits.arriving_bytes)
    app.state.outlet = Outlet(settings.limits.leaving_bytes)
    metrics = ServerMetrics(service)
    handlers = RankingHandlers(service=service, settings=settings, metrics=metrics)
    keys = accepted_keys(settings, os.environ)
    # For the OpenAPI document alone: keys are checked before the body of a request is read.
    told = [Depends(HTTPBearer(auto_error=False))] if keys else []
    for part in (rerank, score, embeddings):
        app.include_router(part.router(handlers), dependencies=told)
    app.include_router(state.router(handlers))
    app.include_router(page.router())
    for kind in (HTTPException, RequestValidationError, RankerError):
        app.add_exception_handler(kind, _refuse)
    app.add_middleware(RequestMiddleware, metrics=metrics, keys=keys, texts=settings.log_documents)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type", ID_HEADER],
            expose_headers=[ID_HEADER, "Retry-After", rerank.WARNINGS_HEADER],
        )
    app.add_middleware(Addressed)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    response = answer(error, request)
    if response.status_code == 500:
        log_failure(request.state.id, error)
    return response
