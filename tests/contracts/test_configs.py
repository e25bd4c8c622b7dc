"""Every file in configs/ is a complete, valid config."""

from pathlib import Path

import pytest

from rlpost.config import load
from rlpost.distill.config import load as load_distillation
from tests.paths import REPO

CONFIGS = sorted((REPO / "configs").glob("*.yaml"))
DISTILLATIONS = sorted((REPO / "configs" / "distill").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_parses(path: Path) -> None:
    load(path)


@pytest.mark.parametrize("path", DISTILLATIONS, ids=lambda path: path.name)
def test_distillation_parses(path: Path) -> None:
    load_distillation(path)


def test_there_are_configs() -> None:
    assert {"quickstart.yaml", "rerank_beir.yaml"} <= {path.name for path in CONFIGS}
    assert {path.stem for path in DISTILLATIONS} == {"first", "full", "e2rank"}


def test_there_is_nothing_else() -> None:
    files = {path for path in (REPO / "configs").rglob("*") if path.is_file()}
    assert files == {*CONFIGS, *DISTILLATIONS}
