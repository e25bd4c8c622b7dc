"""YAML as configs are written in it: unique keys, and scalars that are what they look like.

YAML 1.1, which PyYAML reads, takes ``yes`` for true, ``1:30`` for 90, ``010`` for 8 and a date for
no text. Here, as in YAML 1.2, only ``true`` and ``false`` are booleans and the others are text,
which a number's field reads as Python does or refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from rankers.secrets import HIDDEN, is_secret_name

_PREFIX = "tag:yaml.org,2002:"
_REPLACED = {_PREFIX + name for name in ("bool", "int", "float", "timestamp")}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with fewer implicit types: all it reads as one, PyYAML does too, so
    that what ``yaml.safe_dump`` writes is read back as it was."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    _PREFIX + "bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    _PREFIX + "int",
    re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    _PREFIX + "float",
    re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


class YamlKeyError(ValueError):
    """A document that is YAML, but says something twice or contains itself."""


def parse_yaml(text: str) -> Any:
    """The value of one YAML document; None for an empty one.

    Raises YamlKeyError naming every key that one mapping has twice, with its lines, and
    yaml.YAMLError or ValueError where the text is no YAML at all.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        mistakes = list(_mistakes(node, (), (), set()))
        if mistakes:
            raise YamlKeyError("; ".join(mistakes))
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    finally:
        loader.dispose()


def _mistakes(
    node: yaml.Node, path: tuple[str, ...], above: tuple[yaml.Node, ...], seen: set[int]
) -> Iterator[str]:
    """A sentence for every key given twice, at any depth, and for an anchor inside itself."""
    if any(node is outer for outer in above):
        yield f"{'.'.join(path)!r} contains itself, by line {node.start_mark.line + 1}"
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _mistakes(item, (*path, str(index)), (*above, node), seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, list[int]] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        lines.setdefault(name, []).append(key.start_mark.line + 1)
        yield from _mistakes(value, (*path, name), (*above, node), seen)
    for name, numbers in lines.items():
        if len(numbers) > 1:
            where = " and ".join(str(number) for number in dict.fromkeys(numbers))
            last = HIDDEN if any(map(is_secret_name, path)) else name
            yield f"key {'.'.join((*path, last))!r} is given twice, on line {where}: keep one"
