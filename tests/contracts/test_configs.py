"""Every file in configs/ is a complete, valid config."""

from pathlib import Path

import pytest

from rlpost.config import load
from tests.paths import REPO

CONFIGS = sorted((REPO / "configs").glob("*"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_parses(path: Path) -> None:
    assert path.suffix == ".yaml"
    load(path)


def test_there_are_configs() -> None:
    assert {"quickstart.yaml", "rerank_beir.yaml"} <= {path.name for path in CONFIGS}
