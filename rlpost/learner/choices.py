"""A choice from a table by name, with the parameters of that name: how a config picks functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NotRequired, TypedDict, TypeVar

from rankers.errors import UserError

Result = TypeVar("Result")
Rejected = Literal["counted", "absent"]
Choice = str | Mapping[str, Any]
"""A name, or a mapping with ``kind`` and the parameters of that kind."""


class Choices(TypedDict):
    """What an algorithm is made of; what is not named is not there."""

    credit: Choice
    objective: Choice
    aggregation: Choice
    transforms: NotRequired[Sequence[Choice]]
    mask_truncated: NotRequired[bool]
    correction: NotRequired[Choice | None]
    rejections: NotRequired[Sequence[Choice]]
    rejected: NotRequired[Rejected]
    top_entropy: NotRequired[float | None]
    sequence_mask: NotRequired[Choice | None]
    kl: NotRequired[Choice | None]
    entropy: NotRequired[Choice | None]
    shaping: NotRequired[Choice | None]


def choose(
    table: Mapping[str, Callable[..., Result]], choice: Choice, *, what: str
) -> Callable[..., Result]:
    """The entry of ``table`` that ``choice`` names, with the choice's parameters bound.

    Raises UserError for a name that is not in it.
    """
    parameters = parameters_of(choice)
    kind = parameters.pop("kind")
    if kind not in table:
        raise UserError(f"{what} {kind!r} is unknown: use one of {', '.join(table)}")
    return partial(table[kind], **parameters)


def choose_if(
    table: Mapping[str, Callable[..., Result]], choice: Choice | None, *, what: str
) -> Callable[..., Result] | None:
    """``choose``, or None for no choice."""
    return None if choice is None else choose(table, choice, what=what)


def choose_all(
    table: Mapping[str, Callable[..., Result]], choices: Sequence[Choice], *, what: str
) -> tuple[Callable[..., Result], ...]:
    """``choose`` for each of ``choices``."""
    return tuple(choose(table, choice, what=what) for choice in choices)


def parameters_of(choice: Choice) -> dict[str, Any]:
    """``kind`` and the parameters of that kind."""
    return {"kind": choice} if isinstance(choice, str) else dict(choice)
