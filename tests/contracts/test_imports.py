"""Imports point one way: rankers <- rlpost <- workers; only the CLI composes all three."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.paths import REPO

FORBIDDEN = {
    "rankers": {"rlpost", "workers", "ray", "tests", "scripts"},
    "rlpost": {"workers", "ray", "tests", "scripts"},
    "workers": {"tests", "scripts"},
}
FILES = [path for package in FORBIDDEN for path in sorted((REPO / package).rglob("*.py"))]
OPTIONAL_BUILDS = {"vllm": "vllm", "faiss": "faiss-cpu"}
"""Import name -> distribution, where the installed distribution goes by another name on CPU."""


def name_of(path: Path) -> str:
    return str(path.relative_to(REPO))


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level name and line of every absolute import below ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node.lineno


def inside_functions(tree: ast.AST) -> set[tuple[str, int]]:
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return {found for function in functions for found in imported(function)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(REPO).parts[0]
    tree = ast.parse(path.read_text("utf-8"))
    found = set(imported(tree))
    if path.relative_to(REPO).parts[:2] == ("rlpost", "cli"):
        found -= inside_functions(tree)
    wrong = sorted((line, name) for name, line in found if name in FORBIDDEN[package])
    assert not wrong, f"{name_of(path)} may not import {wrong}"


def test_every_library_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {normal(line.split("==")[0].split("[")[0]) for group in groups for line in group}
    known = packages_distributions()
    missing = {
        (name, name_of(path))
        for path in FILES
        for name, _ in imported(ast.parse(path.read_text("utf-8")))
        if name not in sys.stdlib_module_names and name not in FORBIDDEN
        if not declared
        & {normal(d) for d in [OPTIONAL_BUILDS.get(name, name), *known.get(name, [])]}
    }
    assert not missing, f"not in pyproject.toml: {sorted(missing)}"


def normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-").replace(".", "-")
