"""API keys: which are accepted, and what is open to those who have none."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request

from rankers.errors import DataError
from rankers.serve.http.errors import Refusal
from rankers.serve.http.page.files import PATHS
from rankers.serve.settings import Settings

VARIABLE = "RLPOST_API_KEYS"
OPEN = PATHS | {"/health", "/ready", "/openapi.json"}
"""Paths that need no key: probes have none, and the page holds no data and asks for one."""


class Keys:
    """The accepted keys, hashed: comparing digests tells neither a key nor its length by time."""

    def __init__(self, keys: frozenset[str]) -> None:
        self._digests = [_digest(key.encode("utf-8", "surrogateescape")) for key in keys]

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self._digests)

    def check(self, request: Request) -> None:
        """Refusal 401 where a key is needed and the right one is not there."""
        if not self or request.scope["path"] in OPEN:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip().encode("latin-1"))  # the bytes that were sent
        # All of them are compared, so that the time does not tell which one it was.
        matches = [hmac.compare_digest(digest, accepted) for accepted in self._digests]
        if scheme.lower() != "bearer" or not any(matches):
            said = "this key is not accepted" if given else "a key is needed"
            raise Refusal(
                401, f"{said}: send 'Authorization: Bearer KEY'", www_authenticate="Bearer"
            )


def accepted_keys(settings: Settings, environment: Mapping[str, str]) -> Keys:
    """Keys of the settings, of their file and of RLPOST_API_KEYS (separated by commas) together.

    Raises DataError where a source was named and holds none: that server would be open to all.
    """
    keys = set[str]()
    if settings.keys:
        keys |= _some([key.get_secret_value() for key in settings.keys], "keys")
    if VARIABLE in environment:
        keys |= _some(environment[VARIABLE].split(","), VARIABLE)
    if settings.keys_file is not None:
        keys |= _some(_lines(settings.keys_file), "keys_file")
    return Keys(frozenset(keys))


def _some(given: list[str], source: str) -> set[str]:
    keys = {key.strip() for key in given} - {""}
    if not keys:
        raise DataError(f"{source} holds no key: put one in, or take it away to serve everybody")
    return keys


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        # Its name is left out: it may be a key that was put in the wrong place.
        reason = (error.strerror if isinstance(error, OSError) else None) or "not UTF-8"
        raise DataError(
            f"keys_file cannot be read ({reason.lower()}): give a text file with a key on each line"
        ) from None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
