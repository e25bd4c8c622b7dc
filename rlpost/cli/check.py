"""What `rlpost check` prints: the resolved config and the numbers that follow from it. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel
from rich.console import Console

from rankers.config_file import dotted_keys
from rankers.report.tables import print_table
from rlpost.config.run import RunConfig
from rlpost.models.loading import resolve_model_path
from rlpost.tasks.input_files import load_present

BYTES = {"float32": 4, "bfloat16": 2}


def print_keys(schema: type[BaseModel] = RunConfig) -> None:
    """Every key of the schema with its meaning."""
    rows = [[key, " ".join(meaning.split())] for key, meaning in dotted_keys(schema)]
    print_table(Console(), "", [["key", "meaning"], *rows])


def print_resolved(config: Path, overrides: Sequence[str]) -> None:
    """The full config as YAML and the derived numbers; UserError when anything is wrong."""
    cfg = load_present(config, overrides)
    print(to_yaml(cfg))
    print_table(Console(), "", [["derived", "value"], *derived(cfg).items()])


def to_yaml(cfg: RunConfig) -> str:
    """Every key with its value, defaults included; reading it back gives an equal config."""
    return yaml.safe_dump(cfg.model_dump(mode="json"), sort_keys=False)


def derived(cfg: RunConfig) -> dict[str, str]:
    """Numbers that the config implies, as text; the memory line is an estimate."""
    samples = cfg.samples_per_step
    tokens = samples * cfg.model.max_length
    actors = cfg.rollout.workers + 2
    numbers = {
        "samples per step": f"{samples:,} = {cfg.groups_per_step} x {cfg.rollout.group_size}",
        "samples in all": f"{samples * cfg.steps:,}",
        "tokens per step": f"at most {tokens:,}",
        "micro-batches per step": f"at most {-(-tokens // cfg.learner.tokens_per_batch):,}",
        "groups in flight": f"at most {(cfg.streaming.max_lag + 1) * cfg.groups_per_step}",
        "actors": f"{actors} (queue, learner, {cfg.rollout.workers} rollout)",
        "GPUs": f"{cfg.rollout.workers * cfg.rollout.gpus_per_worker + cfg.learner.gpus:g}",
    }
    parameters = count_parameters(cfg.model.path)
    if parameters is not None:
        per_copy = parameters * BYTES[cfg.model.dtype] / 2**20
        engines = cfg.rollout.workers * (per_copy + cfg.rollout.kv_cache_mb)
        numbers["parameters"] = f"{parameters / 1e6:,.1f} M"
        numbers["weights and caches"] = f"about {engines + per_copy:,.0f} MiB over all actors"
    return numbers


def count_parameters(model: str) -> int | None:
    """Parameters of a local model, from the safetensors headers; None for a hub id."""
    files = sorted(Path(resolve_model_path(model)).glob("*.safetensors"))
    return sum(_count(path) for path in files) or None


def _count(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            total += size
    return total
