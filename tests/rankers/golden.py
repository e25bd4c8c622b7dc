"""Golden values made by the official implementations, where the shared test data are here."""

import json
from typing import Any

import pytest

from tests.paths import SHARED

_PATH = SHARED / "golden" / "golden_rank.json"


def golden(key: str) -> Any:
    """One entry of the golden file; skips the test where the file is absent."""
    if not _PATH.is_file():
        pytest.skip("the shared golden files are not here")
    return json.loads(_PATH.read_text("utf-8"))[key]
