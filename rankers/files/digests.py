"""Digests of files and of model folders; a large file is read once, until it changes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from rankers.files.atomic import write_text
from rankers.files.cache import content_key, default_cache_dir

LARGE_BYTES = 64 << 20
"""Smaller files are read every time."""
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Blocks, evenly spread, that a remembered file must still have, whatever its times say."""

MODEL_FILES = (
    *("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"),
    *("tokenizer*", "vocab*", "merges.txt", "spiece.model", "sentencepiece*", "added_tokens.json"),
    *("special_tokens_map.json", "chat_template*", "additional_chat_templates/*"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    *("*_*/config.json", "*_*/*.safetensors", "adapter_config.json"),
)
"""What shapes a model's numbers and prompts; subfolders are modules of sentence-transformers."""
PICKLED = ("*.bin", "*_*/*.bin")
"""Weights where there are no safetensors."""


def folder_digests(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files of a model that its numbers and prompts depend on, sorted."""
    found = {path for pattern in MODEL_FILES for path in folder.glob(pattern)}
    if not any(path.suffix == ".safetensors" for path in found):
        found |= {path for pattern in PICKLED for path in folder.glob(pattern)}
    names = {path.relative_to(folder).as_posix(): path for path in found if path.is_file()}
    return {name: file_digest(path) for name, path in sorted(names.items())}


def file_digest(path: Path, *, cache_dir: Path | None = None) -> str:
    """SHA-256 of the content, in hexadecimal.

    That of a large file is remembered in ``cache_dir`` (default: the user's cache) under its place,
    size, times, inode and a sample of its content.
    """
    if path.stat().st_size < LARGE_BYTES:
        return _digest(path)
    memory = (cache_dir or default_cache_dir()) / "digests" / f"{_stamp(path)}.json"
    if memory.is_file():
        return str(json.loads(memory.read_text(encoding="utf-8")))
    digest = _digest(path)
    memory.parent.mkdir(parents=True, exist_ok=True)
    write_text(memory, json.dumps(digest))
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> str:
    """A change sets the time of change, which no program can set back, and mostly the sample."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        sample = hashlib.sha256()
        for index in range(SAMPLES):
            file.seek(index * max(0, found.st_size - SAMPLE_BYTES) // (SAMPLES - 1))
            sample.update(file.read(SAMPLE_BYTES))
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return content_key(
        [os.path.realpath(path), found.st_size, *times, found.st_ino, sample.hexdigest()]
    )
