"""The base of every section of a settings file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Frozen, closed to unknown keys and to infinite numbers; the string under a field is its help
    text."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """pydantic takes ``true`` for 1, but refuses the text where only a number will do."""
        if not isinstance(values, Mapping):
            return values
        numeric = {name for name, field in cls.model_fields.items() if _is_number(field.annotation)}
        return {name: _text(v) if name in numeric else v for name, v in values.items()}


def _is_number(annotation: object) -> bool:
    """Whether numbers, and neither booleans nor sections, may stand in the value."""
    kinds = set(_kinds(annotation))
    sections = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return bool(kinds & {int, float}) and not (bool in kinds or sections)


def _kinds(annotation: object) -> Iterator[object]:
    """The types that an annotation is put together from."""
    arguments = get_args(annotation)
    for argument in arguments:
        yield from _kinds(argument)
    if not arguments:
        yield annotation


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return {key: _text(item) for key, item in value.items()}
    return [_text(item) for item in value] if isinstance(value, list | tuple) else value
