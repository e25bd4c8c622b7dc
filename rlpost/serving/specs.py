"""What `rlpost serve` does before it serves: settings read, names resolved, mistakes told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankers.backends.load import ModelSpec
from rankers.config_file import explain, merge_overrides, read_yaml
from rankers.errors import UserError
from rankers.methods.by_name import RerankerSpec, decide
from rankers.model_path import resolve
from rankers.serve.settings import ModelSettings, Settings
from rlpost.serving.latest_adapter import adapter_in
from rlpost.serving.model_spec import located


def settings_from(
    config: Path | None, given: Mapping[str, Any], overrides: Sequence[str]
) -> Settings:
    """Settings of a YAML file with what the command line gives on top.

    Raises UserError naming every mistake, its key and what would be valid.
    """
    values = merge_overrides({**(read_yaml(config) if config else {}), **given}, overrides)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        origin = str(config) if config else "the command line"
        raise UserError(explain(error, Settings, origin=origin)) from None


def specs_of(settings: Settings) -> dict[str, RerankerSpec]:
    """What to load for each model. Raises UserError or DataError; loads nothing itself."""
    specs = {model.name: spec_of(model) for model in settings.models}
    for spec in specs.values():
        decide(spec)
    return specs


def spec_of(model: ModelSettings) -> RerankerSpec:
    """Names of the user -> folders."""
    return RerankerSpec(
        method=model.method,
        model=replace(_source(model), max_length=model.max_length, dtype=model.dtype),
        backend=model.backend,
        template=model.template,
        options=model.options,
        depth=model.depth,
        passage_tokens=model.passage_tokens,
    )


def _source(model: ModelSettings) -> ModelSpec:
    endpoint = {
        "base_url": model.base_url,
        "vllm_server": model.vllm_server,
        "timeout_s": model.timeout_s,
    }
    if model.adapter is None:
        assert model.model is not None  # see ModelSettings
        return located(model.model, model.backend, endpoint, model.tokenizer)
    source = located(str(adapter_in(model.adapter)), model.backend, {}, None)
    return source if model.model is None else replace(source, base=resolve(model.model))
