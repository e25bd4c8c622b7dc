"""Every file in configs/ is a complete, valid config."""

from pathlib import Path

import pytest

from rankers.first_stage.by_name import parts_of
from rankers.methods.by_name import METHODS
from rlpost.cli.suite.config import read_suite
from rlpost.config import load
from rlpost.distill.config import load_distillation as load_distillation
from rlpost.serving.specs import settings_from, specs_of
from tests.paths import REPO

CONFIGS = sorted((REPO / "configs").glob("*.yaml"))
DISTILLATIONS = sorted((REPO / "configs" / "distill").glob("*.yaml"))
SUITES = sorted((REPO / "configs" / "evaluate").glob("*.yaml"))
SERVING = sorted((REPO / "configs" / "serve").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_parses(path: Path) -> None:
    load(path)


@pytest.mark.parametrize("path", DISTILLATIONS, ids=lambda path: path.name)
def test_distillation_parses(path: Path) -> None:
    load_distillation(path)


def test_suite_parses() -> None:
    suite = read_suite(REPO / "configs" / "evaluate" / "rerankers.yaml")
    assert len(suite.collections) == 3
    for system in suite.systems.values():
        assert parts_of(system.first_stage)
        assert system.rerank is None or system.rerank["method"] in METHODS


def test_serving_file_parses() -> None:
    specs_of(settings_from(REPO / "configs" / "serve" / "models.yaml", {}, []))


def test_there_are_configs() -> None:
    assert {"quickstart.yaml", "rerank_beir.yaml"} <= {path.name for path in CONFIGS}
    assert {path.stem for path in DISTILLATIONS} == {"first", "full", "e2rank"}
    assert {path.stem for path in SERVING} == {"models", "ray"}


def test_there_is_nothing_else() -> None:
    files = {path for path in (REPO / "configs").rglob("*") if path.is_file()}
    assert files == {*CONFIGS, *DISTILLATIONS, *SUITES, *SERVING}
