"""One process that serves: the engine started beside it, the routes in front, until a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from socket import socket

from rankers.methods.by_name import RerankerSpec
from rankers.serve.engine.follow import follow
from rankers.serve.engine.service import ModelInfo, Service
from rankers.serve.engine.supervisor import Supervisor
from rankers.serve.http.app import create_app
from rankers.serve.http.auth import accepted_keys
from rankers.serve.http.server import listening, server
from rankers.serve.log import log_to
from rankers.serve.settings import Settings

EXAMPLE = {"query": "largest item", "documents": ["Sort a list.", "Return the largest item."]}


Newest = Callable[[Path], Path | None]
"""Run folder -> its newest adapter, if it has one."""


def run_server(settings: Settings, specs: Mapping[str, RerankerSpec], newest: Newest) -> None:
    """Serve ``specs`` until SIGTERM or Ctrl-C; says on standard output where, and logs to error.

    ``newest`` is asked for the adapters of models that follow a run.

    Raises RankerError, one sentence, for bad keys, a taken address and a model that cannot be
    loaded, in this order: the last takes long.
    """
    accepted_keys(settings, os.environ)
    log_to(sys.stderr, texts=settings.log_documents)
    # While loading: the server has its own. Python's would leave copies of adapters behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with listening(settings) as sock:
        try:
            asyncio.run(_serve(settings, specs, newest, sock))
        except KeyboardInterrupt:  # while loading: the server itself ends in order
            raise SystemExit(130) from None


async def _serve(
    settings: Settings, specs: Mapping[str, RerankerSpec], newest: Newest, sock: socket
) -> None:
    print(f"loading {', '.join(specs)}", file=sys.stderr)
    service = await Supervisor.started(settings, specs)
    host, port, *_ = sock.getsockname()
    running = server(create_app(service, settings), settings)
    keys = bool(accepted_keys(settings, os.environ))
    print(greeting(list(service.models.values()), host, port, keys=keys), flush=True)
    followers = followed(service, settings, newest)
    await running.serve(sockets=[sock])
    for follower in followers:
        follower.cancel()


def followed(service: Service, settings: Settings, newest: Newest) -> list[asyncio.Task[None]]:
    """What swaps adapters in while it runs, one for each model that follows a run."""
    return [
        asyncio.create_task(follow(service, model.name, partial(newest, model.adapter)))
        for model in settings.models
        if model.follow and model.adapter is not None
    ]


def greeting(models: Sequence[ModelInfo], host: str, port: int, *, keys: bool) -> str:
    """Where to go and what to try, for the terminal."""
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    width = max(len(info.name) for info in models)
    lines = [
        f"  {info.name:<{width}}  {info.method} with {info.model} on {info.backend}"
        for info in models
    ]
    key = " -H 'Authorization: Bearer KEY'" if keys else ""
    body = json.dumps({"model": models[0].name, **EXAMPLE})
    return "\n".join(
        [
            f"serving at {url} (a page for people; {url}/openapi.json has the routes)",
            *lines,
            f"try: curl {url}/v2/rerank{key} -H 'Content-Type: application/json' -d '{body}'",
        ]
    )
