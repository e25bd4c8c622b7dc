"""Where the tests find the repository and the optional shared test data."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent

SHARED = Path(os.environ.get("RLPOST_SHARED", REPO.parent / "shared"))
"""Real collections, golden files and research notes; absent in most checkouts."""

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared test data are not here")

MINILM = Path(os.environ.get("RLPOST_MINILM", ""))
"""The folder of all-MiniLM-L6-v2, for tests with a real encoder."""

needs_minilm = pytest.mark.skipif(
    not (MINILM / "modules.json").is_file(), reason="RLPOST_MINILM names no model folder"
)
