"""Model specs: what to load for the name of a model, an adapter or a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rankers.backends.load import BackendName, ModelSpec
from rankers.model_path import resolve
from rankers.prompting.model_families import ADAPTER_CONFIG, base_of
from rankers.secrets import plain_url
from rlpost.serving.trained_prompts import trained


def located(
    model: str, backend: BackendName | None, endpoint: Mapping[str, object], tokenizer: str | None
) -> ModelSpec:
    """Where the model is: an endpoint's, an adapter with its base, shipped, a folder, on the hub.

    Raises UserError when there is no such model, DataError for an URL with a password.
    """
    if endpoint.get("base_url"):
        plain_url(str(endpoint["base_url"]), variable="OPENAI_API_KEY")
    if endpoint.get("base_url") or backend == "openai":
        return ModelSpec(name=model, endpoint=endpoint, tokenizer=tokenizer)
    folder = Path(model)
    if (folder / ADAPTER_CONFIG).is_file():
        base = resolve(base_of(folder))
        return ModelSpec(name=model, base=base, trained=trained(folder))
    if (folder / "modules.json").is_file():
        return ModelSpec(name=model, base=folder, trained=trained(folder))
    return ModelSpec(name=model, base=resolve(model), trained=trained(folder))
