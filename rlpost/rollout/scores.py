"""Answers of a reward, taken in: what is no score is an error that names prompt, sibling and value.

A score that is not a finite number would surface as a loss of NaN many calls later, or, where all
siblings have it, as a step without a gradient and without a word.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from rlpost.errors import RewardError
from rlpost.types import Completion, ListScore, Prompt, Score

LARGEST = 1e30
"""Advantages are float32 numbers, and their deviations are squared on the way."""


def group_scores(
    prompt: Prompt, completions_G: Sequence[Completion], answers: object
) -> tuple[Score, ...]:
    """The scores of siblings that were judged together; RewardError unless there is one for each.

    ``answers`` is what the reward returned, and so are those of ``one_score``.
    """
    wanted = len(completions_G)
    if not isinstance(answers, Iterable) or isinstance(answers, str | bytes | Mapping):
        raise RewardError(
            f"reward of prompt {prompt.id!r}: {_shown(answers)} was returned for {wanted} "
            "completions: return a list with one rlpost.types.Score for each, in order"
        )
    listed = list(answers)
    if len(listed) != wanted:
        raise RewardError(
            f"reward of prompt {prompt.id!r}: {len(listed)} scores were returned for {wanted} "
            "completions: return one for each, in order"
        )
    return tuple(one_score(prompt, i, wanted, answer) for i, answer in enumerate(listed))


def one_score(prompt: Prompt, index: int, count: int, answer: object) -> Score:
    """The score of completion ``index`` of ``count``, its numbers as plain floats.

    Any real number will do, also NumPy's. A part may be NaN, which says that it does not apply.
    Raises RewardError for anything else.
    """
    where = f"reward of prompt {prompt.id!r}, completion {index + 1} of {count}"
    if not isinstance(answer, Score):
        raise RewardError(
            f"{where}: {_shown(answer)} was returned, which is no rlpost.types.Score: "
            "return Score(total=...)"
        )
    total = _number(answer.total, f"{where}: total", may_be_nan=False)
    return replace(
        answer, total=total, parts=_parts(answer.parts, where), places=_places(answer.places, where)
    )


def _parts(parts: object, where: str) -> dict[str, float]:
    if not isinstance(parts, Mapping) or not all(isinstance(name, str) for name in parts):
        raise RewardError(f"{where}: parts is {_shown(parts)}: use a mapping of names to numbers")
    return {
        name: _number(value, f"{where}: part {name!r}", may_be_nan=True)
        for name, value in parts.items()
    }


def _places(places: object, where: str) -> ListScore | None:
    if places is None:
        return None
    if not isinstance(places, ListScore):
        raise RewardError(
            f"{where}: places is {_shown(places)}, which is no rlpost.types.ListScore"
        )
    gains_K = tuple(
        _number(gain, f"{where}: gain of place {rank}", may_be_nan=False)
        for rank, gain in enumerate(places.gains_K, start=1)
    )
    return replace(places, gains_K=gains_K)


def _number(value: Any, what: str, *, may_be_nan: bool) -> float:
    if not isinstance(value, Real):
        raise RewardError(f"{what} is {_shown(value)}: use a plain number{_item(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if abs(number) <= LARGEST or (may_be_nan and math.isnan(number)):
        return number
    limit = "" if not math.isfinite(number) else f" of at most {LARGEST:g}"
    raise RewardError(f"{what} is {number:g}: use a finite number{limit}")


def _item(value: object) -> str:
    return " (value.item() is that of a tensor)" if hasattr(value, "item") else ""


def _shown(value: object) -> str:
    if value is None:
        return "None"
    return f"{' '.join(reprlib.repr(value).split())} ({type(value).__name__})"
