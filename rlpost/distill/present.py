"""The folders and files that a distillation names, looked for before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlpost.config.run import DataConfig
from rlpost.distill.config import DistillConfig, StudentModel
from rlpost.tasks.input_files import checked, missing_data, missing_model, valid


def load_present(path: Path, overrides: Sequence[str] = ()) -> DistillConfig:
    """``rlpost.distill.config.load``, and what the config names is there.

    Raises UserError that lists every mistake at once, those of the keys and what is missing.
    """
    return checked(DistillConfig, path, overrides, missing)


def missing(values: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for everything that a distillation names and that is not there."""
    teacher = values.get("teacher")
    if isinstance(teacher, str) and not Path(teacher).is_file():
        yield f"teacher: there is no file {teacher!r}: name a TREC run"
    data = valid(DataConfig, values.get("data", {}))
    if data is not None:
        yield from missing_data(data)
    model = valid(StudentModel, values.get("model", {}))
    if model is not None:
        yield from missing_model(model.path, max_length=None)
