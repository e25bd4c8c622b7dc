"""One process that serves: the engine started beside it, the routes in front, until a signal."""

from __future__ import annotations

import json

from rankers.serve.service import Service

EXAMPLE = {"query": "a cat", "documents": ["dogs bark", "cats purr"]}


def greeting(service: Service, url: str, *, keys: bool) -> str:
    """Where to go and what to try, for the terminal."""
    models = list(service.models.values())
    width = max(len(info.name) for info in models)
    lines = [
        f"  {info.name:<{width}}  {info.method} with {info.model} on {info.backend}"
        for info in models
    ]
    key = " -H 'Authorization: Bearer KEY'" if keys else ""
    body = json.dumps({"model": models[0].name, **EXAMPLE})
    return "\n".join(
        [
            f"serving {url} (page there; {url}/openapi.json has the routes)",
            *lines,
            f"try: curl {url}/v2/rerank{key} -H 'Content-Type: application/json' -d '{body}'",
        ]
    )
