"""The config of a run: `load` reads, checks and explains it. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankers.config_file import explain, merge_overrides, read_yaml
from rankers.errors import UserError
from rlpost.config.run import RunConfig


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The run described by a YAML file and ``key.sub=value`` overrides.

    Raises UserError that lists every mistake at once, each with its key, its value and what would
    be valid.
    """
    return parse(merge_overrides(read_yaml(path), overrides), origin=str(path))


def parse(values: dict[str, Any], *, origin: str) -> RunConfig:
    """Validate plain values; ``origin`` names them in errors."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, RunConfig, origin=origin)) from None
