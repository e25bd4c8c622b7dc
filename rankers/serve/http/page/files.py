"""The files of the page, and the headers that keep anything else from running in it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""Scripts and styles come from files of this server, and texts can never become markup."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class File(NamedTuple):
    """One file, as it is sent."""

    content: bytes
    media_type: str


def _read() -> dict[str, File]:
    found = sorted(files(__package__).joinpath("static").iterdir(), key=lambda item: item.name)
    return {
        item.name: File(item.read_bytes(), media_type)
        for item in found
        for ending, media_type in TYPES.items()
        if item.name.endswith(ending)
    }


FILES: Mapping[str, File] = MappingProxyType(_read())
PATHS = frozenset({"/", *(f"/page/{name}" for name in FILES)})
"""They hold no data and are what asks for a key: nobody needs one to get them."""
