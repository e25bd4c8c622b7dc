"""Model folders: by path, by shipped name, by hub id, or by adapter."""

from __future__ import annotations

import re
from pathlib import Path

from rankers.errors import UserError

ASSETS = Path(__file__).parent / "assets"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w.-]+)?")
"""``org/name``, or ``org/name@revision``."""


def resolve(path: str | Path) -> Path:
    """Local folder of a model named by folder, by shipped name (``tiny-ranker``) or by hub id.

    A hub id, which may end in ``@`` and a revision, is downloaded on first use. Raises
    UserError when there is no such model.
    """
    for folder in places(path):
        if (folder / "config.json").is_file():
            return folder.resolve()
    if Path(path).expanduser().is_dir():
        raise UserError(
            f"{path} has no config.json: name a folder written by save_pretrained, or a hub id"
        )
    if not HUB_ID.fullmatch(str(path)):
        raise UserError(
            f"there is no model {path}: name a folder written by save_pretrained, or a hub id"
        )
    return _download(str(path))


def places(path: str | Path) -> tuple[Path, Path]:
    return Path(path).expanduser(), ASSETS / path


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = hub_id.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=["*.json", "*.jinja", "*.safetensors", "*.model", "*.txt"],
            )
        )
    except LocalEntryNotFoundError as exc:
        raise UserError(
            f"{hub_id} is neither a folder nor in the hub cache, and the hub cannot be reached: "
            "name a local folder, or go online"
        ) from exc
    except HfHubHTTPError as exc:
        raise UserError(f"the hub has no readable model {hub_id}: {exc}") from exc
