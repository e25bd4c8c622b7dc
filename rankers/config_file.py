"""Config files: YAML and overrides into closed pydantic sections, all mistakes explained at
once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from rankers.errors import UserError
from rankers.files.yaml_text import YamlKeyError, parse_yaml
from rankers.secrets import HIDDEN, hide_passwords, is_secret_name, shown


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


_QUOTED = re.compile(r"(['\"])(.*?)\1")
_READERS_OWN = re.compile(r"<.*>|\\?.")
"""What the YAML reader quotes of its own: '<block end>', ','. The rest is text of the file."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. UserError: missing, not YAML, or not a mapping."""
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"config file {str(path)!r} does not exist: give the path of a YAML file"
        ) from None
    except IsADirectoryError:
        raise UserError(f"config {str(path)!r} is a folder: give the path of a YAML file") from None
    except OSError as error:
        raise UserError(f"config file {str(path)!r} cannot be read: {error.strerror}") from None
    except YamlKeyError as error:
        raise UserError(f"config file {str(path)!r}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = _yaml_reason(error)
        raise UserError(f"config file {str(path)!r} is not valid YAML: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(
            f"config file {str(path)!r} holds a {type(values).__name__}, not keys and values"
        )
    return values


def _yaml_reason(error: Exception) -> str:
    """Problem and place, without the text there, which may be a key that lacks its quotes."""
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return " ".join(str(error).split())
    said = "; ".join(filter(None, (error.context, error.problem)))
    named = _QUOTED.sub(lambda m: m[0] if _READERS_OWN.fullmatch(m[2]) else "there", said)
    return f"{named} (line {mark.line + 1}, column {mark.column + 1})"


def merge_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """``values`` with every ``a.b=value`` applied (the value is read as YAML). The input is left
    as it is."""
    merged = _copy(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            told = HIDDEN if equals or is_secret_name(override) else hide_passwords(override)
            raise UserError(f"override {told!r} is not of the form key.sub=value")
        *parents, leaf = key.split(".")
        section = merged
        told = f"{key}={HIDDEN}" if is_secret_name(key) else hide_passwords(override)
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise UserError(f"override {told!r}: {parent!r} is a value, not a section")
        try:
            section[leaf] = parse_yaml(text)
        except YamlKeyError as error:
            raise UserError(f"override {told!r}: {error}") from None
        except (yaml.YAMLError, ValueError):
            raise UserError(
                f"override {told!r}: what follows the '=' is not a YAML value"
            ) from None
    return merged


def explain(error: ValidationError, model: type[BaseModel], *, origin: str) -> str:
    """Every mistake on a line of its own: key, value, what would be valid, the nearest right
    key."""
    return listed(mistakes_of(error, model), origin=origin)


def mistakes_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A sentence for every mistake."""
    return [line for d in error.errors() for line in _line(dict(d), model).split("\n")]


def listed(lines: Sequence[str], *, origin: str) -> str:
    """Mistakes, each on a line of its own, under their number; ``origin`` names the file."""
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return "\n  ".join([f"{count} in {origin}:", *lines])


def _line(detail: dict[str, Any], model: type[BaseModel]) -> str:
    known = dict(dotted_keys(model))
    names = {name for key in known for name in key.split(".")}
    *parents, leaf = (str(part) for part in detail["loc"] or ("",))
    # pydantic names the chosen arm of a union on the way: that is a value, not a key.
    location = [*(part for part in parents if part in names), leaf]
    key = ".".join(location)
    value = shown(detail["input"], ".".join(str(part) for part in detail["loc"]))
    if detail["type"] == "extra_forbidden" and key in known:
        section, kind = ".".join(location[:-1]), parents[-1]
        return (
            f"{key}: kind {kind!r} has no such key (value {value}); drop it or replace "
            f"the section as a whole with '{section}={{kind: {kind}}}'"
        )
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6) or _same_leaf(
            location[-1], known
        )
        hint = f"did you mean {near[0]!r}?" if near else "no key is near; --keys lists them"
        value = HIDDEN if near and is_secret_name(near[0]) else value
        return f"{key}: unknown key (value {value}); {hint}"
    if detail["type"] == "value_error":
        return hide_passwords(str(detail["ctx"]["error"]))
    return f"{key}: {detail['msg'][0].lower()}{detail['msg'][1:]} (got {value})"


def _same_leaf(leaf: str, known: dict[str, str]) -> list[str]:
    leaves = {key.rpartition(".")[2]: key for key in known}
    return [leaves[match] for match in difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6)]


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every valid key of ``model`` with its help text, depth first."""
    for name, info in model.model_fields.items():
        sections = list(_sections(info.annotation))
        if not sections:
            yield prefix + name, info.description or ""
        for section in sections:
            yield from dotted_keys(section, f"{prefix}{name}.")


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _sections(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for arm in get_args(annotation):
            yield from _sections(arm)


def _copy(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, dict) else v for k, v in values.items()}
