"""A choice from a table by name, with the parameters of that name: how a config picks functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from rlpost.errors import UserError

Result = TypeVar("Result")
Choice = str | Mapping[str, Any]
"""A name, or a mapping with ``kind`` and the parameters of that kind."""


def choose(
    table: Mapping[str, Callable[..., Result]], choice: Choice, *, what: str
) -> Callable[..., Result]:
    """The entry of ``table`` that ``choice`` names, with the choice's parameters bound.

    Raises UserError for a name that is not in it.
    """
    parameters = {"kind": choice} if isinstance(choice, str) else dict(choice)
    kind = parameters.pop("kind")
    if kind not in table:
        raise UserError(f"{what} {kind!r} is unknown: use one of {', '.join(table)}")
    return partial(table[kind], **parameters)
