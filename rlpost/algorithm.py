"""An algorithm is three independent choices: credit, objective, aggregation; each a name and its
parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rlpost.aggregation import AGGREGATIONS, Aggregation
from rlpost.credit import CREDIT, Credit
from rlpost.errors import UserError
from rlpost.losses import OBJECTIVES, Objective

Result = TypeVar("Result")
Choice = str | Mapping[str, Any]
"""A name, or a mapping with ``kind`` and the parameters of that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What the learner does with rewards."""

    credit: Credit
    objective: Objective
    aggregation: Aggregation


def algorithm(*, credit: Choice, objective: Choice, aggregation: Choice) -> Algorithm:
    """The functions behind three choices. UserError for a name that is in no table."""
    return Algorithm(
        credit=choose(CREDIT, credit, what="credit"),
        objective=choose(OBJECTIVES, objective, what="objective"),
        aggregation=choose(AGGREGATIONS, aggregation, what="aggregation"),
    )


def choose(
    table: Mapping[str, Callable[..., Result]], choice: Choice, *, what: str
) -> Callable[..., Result]:
    """The entry of ``table`` that ``choice`` names, with the choice's parameters bound."""
    parameters = {"kind": choice} if isinstance(choice, str) else dict(choice)
    kind = parameters.pop("kind")
    if kind not in table:
        raise UserError(f"{what} {kind!r} is unknown: use one of {', '.join(table)}")
    return partial(table[kind], **parameters)
