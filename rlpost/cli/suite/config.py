"""The file of a suite: systems, collections and measures."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from rankers.config_file import Section, explain, read_yaml
from rankers.errors import UserError
from rankers.evaluation.measure_names import computable
from rlpost.cli.rerank import rerank

OWN_OPTIONS = frozenset({"run", "out", "dataset", "split", "resume", "overwrite"})
"""Options of `rlpost rerank` that a suite gives itself."""


class CollectionSpec(Section):
    path: str
    """``pydoc``, a folder, or a name of ir_datasets; folders from where the command is run."""
    split: str = "test"
    """Judgements to use."""
    unknown_docs: Literal["error", "keep", "drop"] = "error"
    """What to do with judgements about documents that the corpus lacks."""
    identical_ids: Literal["auto", "drop", "keep"] = "auto"
    """A document with the id of the query: drop it, keep it, or drop it where texts are equal."""


class SystemSpec(Section):
    first_stage: str
    """As `rlpost data retrieve --stage`: bm25, dense:MODEL, given:NAME, run:FILE, rrf(A, B) ..."""
    depth: int = Field(default=1000, ge=1)
    """Candidates per query."""
    rerank: dict[str, str | int | float | bool] | None = None
    """Options of `rlpost rerank` that differ from its defaults: method, model, depth ..."""

    @model_validator(mode="after")
    def _rerank_is_complete(self) -> SystemSpec:
        if self.rerank is None:
            return self
        lacking = {"method", "model"} - set(self.rerank)
        if lacking:
            raise ValueError(f"rerank lacks {' and '.join(sorted(lacking))}")
        options = rerank_options()
        unknown = [name for name in self.rerank if name.replace("-", "_") not in options]
        if unknown:
            near = difflib.get_close_matches(unknown[0].replace("-", "_"), options, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(options)}"
            raise ValueError(f"rerank.{unknown[0]}: `rlpost rerank` has no such option; {hint}")
        return self


def rerank_options() -> list[str]:
    """Options of `rlpost rerank` that a system may set; the others are the suite's own."""
    return [name for name in inspect.signature(rerank).parameters if name not in OWN_OPTIONS]


class SuiteConfig(Section):
    out: Path
    """Folder for the results."""
    collections: dict[str, CollectionSpec] = Field(min_length=1)
    """Name -> collection."""
    systems: dict[str, SystemSpec] = Field(min_length=1)
    """Name -> system."""
    measures: list[str] = Field(default=["nDCG@10", "RR@10"], min_length=1)
    """Measures of ir_measures; the first one ranks the systems."""

    @field_validator("measures")
    @classmethod
    def _can_be_computed(cls, measures: list[str]) -> list[str]:
        computable(measures)
        return measures

    @model_validator(mode="after")
    def _names_are_folders(self) -> SuiteConfig:
        bad = [
            n
            for n in (*self.collections, *self.systems)
            if not n.strip(".") or "/" in n or " " in n
        ]
        if bad:
            raise ValueError(f"{bad[0]!r} cannot be a name: names become folders, one word each")
        return self


def read_suite(path: Path) -> SuiteConfig:
    """The suite in a YAML file. UserError names every mistake."""
    try:
        return SuiteConfig.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(explain(error, SuiteConfig, origin=str(path))) from None
