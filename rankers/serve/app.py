"""The web application: routes in front of a ``Service``."""

from __future__ import annotations

from fastapi import FastAPI

from rankers.serve.service import Service
from rankers.serve.settings import Settings


def create_app(service: Service, settings: Settings) -> FastAPI:
    """All routes over ``service``, which is drained when the application is shut down."""
    app = FastAPI(title="rlpost", docs_url=None, redoc_url=None)
    app.state.service, app.state.settings = service, settings
    return app
