"""Keys and passwords: where they may stand, and how whatever is shown goes without them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from rankers.errors import DataError

HIDDEN = "(hidden)"
SECRET_WORDS = frozenset(
    {"key", "keys", "apikey", "apikeys", "secret", "secrets", "password", "passwords", "passwd"}
    | {"token", "auth", "authorization", "credential", "credentials", "bearer"}
)
"""A name with one of these words is that of a secret; ``passage_tokens`` has none of them."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@'\"]+@")
SHORTEST_KEY = 4
"""Shorter ones ("none", "k" in a test) are left where they stand in other text."""


def is_secret_name(name: str) -> bool:
    """Whether a value under ``name`` (``api_key``, ``models.0.apiKey``) must not be shown."""
    words = {word.lower() for word in _WORD.findall(name)}
    return not words.isdisjoint(SECRET_WORDS) or "apikey" in name.lower()


def shown(value: object, name: str = "") -> str:
    """``repr(value)`` without what stands under the name of a secret, and without passwords of
    URLs.
    """
    return hide_passwords(repr(_hidden(value, name)))


def hide_passwords(text: str) -> str:
    """``text`` with HIDDEN for the users and passwords of URLs in it."""
    return _USER_IN_URL.sub(f"{HIDDEN}@", text)


def _hidden(value: object, name: str) -> object:
    if is_secret_name(name):
        return _Hidden()
    if isinstance(value, Mapping):
        return {key: _hidden(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner, "") for inner in value]
    return value


class _Hidden:
    def __repr__(self) -> str:
        return HIDDEN


def key_of(variable: str, given: str | None = None) -> str:
    """The key ``given``, or that of an environment variable, or "none"; never blanks around it.

    Raises DataError, without the key, where no HTTP header could hold it.
    """
    key = (given or os.environ.get(variable) or "none").strip()
    if not (key.isascii() and key.isprintable()):
        raise DataError(f"{variable} holds characters that no HTTP header takes: copy the key anew")
    return key


def without_key(text: str, key: str) -> str:
    """``text``, such as a server's refusal, without the key that it may quote."""
    return text.replace(key, HIDDEN) if len(key) >= SHORTEST_KEY and key != "none" else text


def plain_url(url: str, *, variable: str) -> str:
    """``url``. Raises DataError where it holds a password or key: URLs show up in logs, traces and
    run folders; the key belongs into ``variable``.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise DataError("the URL of the endpoint cannot be read: give http://host:port") from None
    if "@" in parts.netloc or (not parts.netloc and "@" in url):
        raise DataError(
            f"the URL of the endpoint (host {parts.hostname or '?'}) holds a user or password, "
            f"which logs and run folders would show: take them out and put the key into {variable}"
        )
    if parts.query or parts.fragment:
        raise DataError(
            f"the URL of the endpoint (host {parts.hostname or '?'}) goes on behind a '?' or '#', "
            f"where no route can follow: leave that out; a key goes into {variable}"
        )
    return url
