"""The page at /, its files, and its examples."""

from __future__ import annotations

from fastapi import APIRouter, Response

from rankers.serve.http.errors import Refusal
from rankers.serve.http.page.examples import COLLECTION, Examples
from rankers.serve.http.page.files import FILES, HEADERS, INDEX


def router() -> APIRouter:
    """/ and /page; none of it belongs to the API."""
    routes = APIRouter(include_in_schema=False)
    examples = Examples()

    @routes.get("/")
    async def index() -> Response:
        return _file(INDEX)

    @routes.get("/page/{name}")
    async def file(name: str) -> Response:
        return _file(name)

    @routes.get(f"/page/examples/{COLLECTION}")
    async def queries() -> list[dict[str, str | int]]:
        return [{"query": one.query, "relevant": one.relevant} for one in await examples.all()]

    @routes.get(f"/page/examples/{COLLECTION}/{{number}}")
    async def candidates(number: int) -> list[str]:
        known = await examples.all()
        if not 0 <= number < len(known):
            raise Refusal(404, f"there is no such example: use 0 to {len(known) - 1}")
        return known[number].documents

    return routes


def _file(name: str) -> Response:
    if name not in FILES:
        raise Refusal(404, "there is no such file")
    content, media_type = FILES[name]
    return Response(content, media_type=media_type, headers=HEADERS)
