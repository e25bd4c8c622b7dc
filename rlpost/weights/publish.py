"""Publishing a policy: the adapter of a model as an immutable, versioned folder that appears whole
or not at all.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rankers.files.atomic import disk_trouble, rename_folder
from rankers.files.modes import fresh_folder, open_alike
from rlpost.errors import CheckpointError
from rlpost.types import PolicyRef
from rlpost.weights.adapter_files import verify, write_manifest

if TYPE_CHECKING:
    from peft import PeftModel

PREFIX = "policy-v"
ADAPTER = "adapter"
"""Folder of the adapter in a checkpoint, or beside a model."""


def publish_adapter(model: PeftModel, root: Path, *, version: int) -> PolicyRef:
    """Write ``root/policy-v{version}``; publishing equal weights again is no error and changes
    nothing.

    Raises CheckpointError when that folder exists with other weights.
    """
    policy = PolicyRef(version=version, path=root / f"{PREFIX}{version}")
    with disk_trouble(root):
        root.mkdir(parents=True, exist_ok=True)
        staging = fresh_folder(policy.path)
        try:
            write_adapter(model, staging)
            manifest = write_manifest(
                staging, version=version, base_model=str(model.get_base_model().name_or_path)
            )
            if policy.path.exists():
                if verify(policy) != manifest:
                    raise CheckpointError(
                        f"{policy.path} holds other weights: remove it, or publish elsewhere"
                    )
            else:
                rename_folder(staging, policy.path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return policy


def published_policies(root: Path) -> list[tuple[int, Path]]:
    """Version and folder of every policy in ``root``."""
    return [
        (int(folder.name.removeprefix(PREFIX)), folder)
        for folder in root.glob(f"{PREFIX}*")
        if folder.name.removeprefix(PREFIX).isdigit()
    ]


def write_adapter(model: PeftModel, folder: Path) -> None:
    """The adapter in PEFT's format, into ``folder`` itself."""
    # Embeddings are never trained here; "auto" would ask the hub whether they were resized.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    open_alike(folder)
