"""Published policies on disk: a PEFT LoRA adapter, and the manifest that tells whether it is whole.

Only plain LoRA (``W + B A * alpha / rank``) is accepted: the other variants either cannot be
served by vLLM as adapters, or describe a change to a base that nobody else has (PiSSA, LoRA-GA).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlpost.errors import AdapterError, EngineError
from rlpost.types import PolicyRef

if TYPE_CHECKING:
    import torch

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
MANIFEST = "manifest.json"

PREFIX = "base_model.model."
SUFFIX_A = ".lora_A.weight"
SUFFIX_B = ".lora_B.weight"

PLAIN: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None,),
    "fan_in_fan_out": (False, None),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal", None),
}
"""Field of ``adapter_config.json`` -> values that keep the adapter plain; absent counts as None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What was published: enough to notice a torn copy, another version or another base."""

    version: int
    base_model: str
    rank: int
    alpha: float
    sha256: Mapping[str, str]
    """Digest of each adapter file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraPair:
    """The two factors of one layer: ``A`` is [rank, in], ``B`` is [out, rank]."""

    A: torch.Tensor
    B: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A verified adapter in memory, fp32. Keys of ``pairs`` are module names of the base model."""

    manifest: Manifest
    pairs: Mapping[str, LoraPair]

    @property
    def scale(self) -> float:
        return self.manifest.alpha / self.manifest.rank


def write_manifest(folder: Path, *, version: int, base_model: str) -> Manifest:
    """Describe the adapter that PEFT's ``save_pretrained`` left in ``folder``; synced to disk.

    Raises EngineError when the adapter is not plain LoRA.
    """
    config = _plain_config(folder)
    manifest = Manifest(
        version=version,
        base_model=base_model,
        rank=int(config["r"]),
        alpha=float(config["lora_alpha"]),
        sha256={name: _sha256(folder / name) for name in (CONFIG, WEIGHTS)},
    )
    with (folder / MANIFEST).open("w") as file:
        json.dump(asdict(manifest), file, indent=2, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    return manifest


def verify(policy: PolicyRef) -> Manifest:
    """Manifest of a published policy whose files are the ones that were published.

    Raises EngineError when a file is missing or changed, or when the version is another one.
    """
    try:
        manifest = Manifest(**json.loads((policy.path / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as exc:
        raise EngineError(f"{policy.path} has no readable {MANIFEST}: {exc}") from exc
    if manifest.version != policy.version:
        raise EngineError(
            f"{policy.path} holds policy version {manifest.version}, expected {policy.version}"
        )
    for name, digest in manifest.sha256.items():
        file = policy.path / name
        if not file.is_file() or _sha256(file) != digest:
            raise EngineError(f"{file} is missing or not the file that was published")
    _plain_config(policy.path)
    return manifest


def read_adapter(policy: PolicyRef, shapes: Mapping[str, tuple[int, ...]]) -> Adapter:
    """Load a published policy and check it against the base, whose weights have these ``shapes``.

    An adapter with a wrong name would be served "successfully" and do nothing; one that is not
    finite would generate token 0 for ever. Raises AdapterError for both, and for a wrong shape or
    a lone factor; EngineError for files that are not those published.
    """
    import torch
    from safetensors.torch import load_file

    manifest = verify(policy)
    tensors = {name: t.to(torch.float32) for name, t in load_file(policy.path / WEIGHTS).items()}
    factors_A = {_module(n, SUFFIX_A): t for n, t in tensors.items() if n.endswith(SUFFIX_A)}
    factors_B = {_module(n, SUFFIX_B): t for n, t in tensors.items() if n.endswith(SUFFIX_B)}
    if not tensors or len(factors_A) + len(factors_B) != len(tensors):
        raise AdapterError(f"{policy.path} is empty or holds tensors that are not LoRA factors")
    if factors_A.keys() != factors_B.keys():
        lone = sorted(factors_A.keys() ^ factors_B.keys())[0]
        raise AdapterError(f"{policy.path} has only one of the two LoRA factors of {lone}")
    pairs = {module: LoraPair(A=factors_A[module], B=factors_B[module]) for module in factors_A}
    for module, pair in pairs.items():
        _check_pair(module, pair, rank=manifest.rank, shape=shapes.get(f"{module}.weight"))
    return Adapter(manifest=manifest, pairs=pairs)


def _check_pair(module: str, pair: LoraPair, *, rank: int, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        raise AdapterError(f"the adapter changes {module}, which the base model does not have")
    got = (*pair.B.shape, *pair.A.shape)
    if got != (shape[0], rank, rank, shape[1]):
        raise AdapterError(
            f"the adapter's factors of {module} have shapes B {tuple(pair.B.shape)} and "
            f"A {tuple(pair.A.shape)}, expected rank {rank} for a weight of {shape}"
        )
    if not (pair.A.isfinite().all() and pair.B.isfinite().all()):
        raise AdapterError(f"the adapter's factors of {module} are not finite")


def _module(name: str, suffix: str) -> str:
    return name.removeprefix(PREFIX).removesuffix(suffix)


def _plain_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as exc:
        raise EngineError(f"{folder} has no readable {CONFIG}: {exc}") from exc
    for field, allowed in PLAIN.items():
        if config.get(field) not in allowed:
            raise AdapterError(
                f"{folder / CONFIG} has {field} = {config.get(field)!r}: only plain LoRA "
                "can be served, convert the adapter first"
            )
    return config


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
