"""What a model does to long sequences only: windows of attention, and positions that depend on
length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from torch import nn

NAMES = ("window", "window_size", "attention_chunk_size", "index_topk")
"""Endings of settings and attributes that hold a window, in tokens."""
LENGTH_DEPENDENT = ("dynamic", "longrope")
"""Kinds of rotary positions that change for all tokens once a sequence is long."""


def window_length(config: Any) -> int | None:
    """Tokens of the shortest window that ``config`` names; None without one."""
    return min(_windows(vars(config.get_text_config())).values(), default=None)


def rope_length(config: Any) -> int | None:
    """Tokens beyond which rotary positions are others, for all rows that are run together."""
    text = config.get_text_config()
    found = getattr(text, "rope_parameters", None) or {}
    kinds = [found, *(value for value in found.values() if isinstance(value, Mapping))]
    lengths = [
        kind.get("original_max_position_embeddings") or text.max_position_embeddings
        for kind in kinds
        if kind.get("rope_type") in LENGTH_DEPENDENT
    ]
    return min(lengths, default=None)


@contextmanager
def shrunk(model: nn.Module, *, length: int) -> Iterator[None]:
    """Inside, every window of ``model`` has ``length`` tokens, so that short sequences show it."""
    owners: dict[int, object] = {id(m): m for m in model.modules()}
    owners |= {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    with ExitStack() as stack:
        for owner in owners.values():
            for name in _windows(vars(owner)):
                stack.enter_context(patch.object(owner, name, length))
        yield


def _windows(attributes: Mapping[str, Any]) -> dict[str, int]:
    return {
        name: value
        for name, value in attributes.items()
        if name.endswith(NAMES) and type(value) is int and value > 0
    }
