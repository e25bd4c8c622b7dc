"""Copies of the adapters that are served: a training run removes its old ones."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rankers.errors import DataError
from rankers.methods.by_name import RerankerSpec
from rankers.serve.engine.service import ModelInfo

LAST = 2
"""Of a model: the one that answers, and the one before it, which may have queries under way."""


class AdapterCopies:
    """A folder of copies, there until ``close``: an engine may read one late, or again."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="rlpost-adapters-")
        self._numbers = itertools.count()
        self._copies: dict[str, list[Path]] = {}
        self._origins: dict[str, str] = {}

    def specs(self, specs: Mapping[str, RerankerSpec]) -> dict[str, RerankerSpec]:
        """``specs`` with copies of their adapters. Raises DataError where one cannot be read."""
        return {
            name: spec
            if spec.model.adapter is None
            else replace(
                spec, model=replace(spec.model, name=str(self.copy(name, spec.model.adapter)))
            )
            for name, spec in specs.items()
        }

    def copy(self, model: str, adapter: Path) -> Path:
        """A copy, and an end of the oldest one of ``model``. DataError where it cannot be read."""
        target = Path(self._folder.name) / str(next(self._numbers)) / adapter.name
        try:
            shutil.copytree(adapter, target)
        except OSError as error:
            raise DataError(f"{adapter} cannot be read: {error}") from error
        self._origins[str(target)] = str(adapter)
        copies = self._copies.setdefault(model, [])
        copies.append(target)
        while len(copies) > LAST:
            shutil.rmtree(copies.pop(0).parent, ignore_errors=True)
        return target

    def drop(self, model: str, copied: Path) -> None:
        """Remove a copy that never answered."""
        self._copies[model].remove(copied)
        shutil.rmtree(copied.parent, ignore_errors=True)

    def told(self, info: ModelInfo) -> ModelInfo:
        """``info`` with the adapter as the user knows it."""
        return replace(info, adapter=self._origins.get(info.adapter or ""))

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()
