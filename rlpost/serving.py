"""What `rlpost serve` does before it serves: settings read, names resolved, mistakes told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankers.backends.load import ModelSpec
from rankers.build import RerankerSpec, decide
from rankers.families import ADAPTER_CONFIG
from rankers.serve.settings import ModelSettings, Settings
from rlpost.adapters import verify
from rlpost.checkpoint import latest_checkpoint
from rlpost.config_source import explain, merge_overrides, read_yaml
from rlpost.errors import EngineError, UserError
from rlpost.models import resolve
from rlpost.publish import ADAPTER, published
from rlpost.reranking.run import located
from rlpost.rundir import CONFIG
from rlpost.types import PolicyRef

POLICIES = "policies"


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


def adapter_in(folder: Path) -> Path:
    """``folder`` if it is a PEFT adapter, else the newest of the run in it.

    Raises UserError where it is neither, may not be read, or the run has none yet.
    """
    try:
        return _adapter_in(folder)
    except PermissionError as error:
        raise UserError(
            f"{error.filename} may not be read by this user: let it (chmod -R a+rX {folder}), or "
            "serve as the user who trained"
        ) from None


def _adapter_in(folder: Path) -> Path:
    if (folder / ADAPTER_CONFIG).is_file():
        return folder
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} is neither a PEFT adapter (it has no {ADAPTER_CONFIG}) nor a run directory "
            f"(it has no {CONFIG}): give one of them"
        )
    newest = newest_adapter(folder)
    if newest is None:
        raise UserError(
            f"{folder} has no adapter yet: wait for the run's first checkpoint, or give another"
        )
    return newest


def newest_adapter(run_dir: Path) -> Path | None:
    """The last adapter that the run published, or else that of its last checkpoint, if whole."""
    for version, path in sorted(published(run_dir / POLICIES), reverse=True):
        try:
            verify(PolicyRef(version=version, path=path))
        except EngineError:  # damaged, or just being removed
            continue
        return path
    checkpoint = latest_checkpoint(run_dir)
    return checkpoint.path / ADAPTER if checkpoint else None
