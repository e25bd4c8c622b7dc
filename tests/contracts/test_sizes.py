"""Size budget: a file is one idea, a function one screen, and the first line says which."""

import ast
import warnings
from pathlib import Path

import pytest

from tests.paths import REPO

FILE_LINES = 400
ROOMY_FILE_LINES = 300
"""Above this a file is asked, not told, whether it still holds one idea."""
FUNCTION_LINES = 60
CONFIG_LINES = 40


def is_python(path: Path) -> bool:
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"python" in first


PYTHON = [
    path
    for folder in ("rlpost", "rankers", "workers", "scripts", "tests")
    for path in sorted((REPO / folder).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and is_python(path)
]
CONFIGS = sorted((REPO / "configs").rglob("*.yaml"))


def name_of(path: Path) -> str:
    return str(path.relative_to(REPO))


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_python_file_keeps_the_budget(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    lines = len(text.splitlines())
    assert lines <= FILE_LINES, "split it: one file, one idea"
    if lines > ROOMY_FILE_LINES:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"{lines} lines: does it still hold one idea?", stacklevel=1)
    assert ast.get_docstring(tree), "the first line says which idea the file is"
    assert text.isascii(), "code is ASCII"
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert not long, f"functions over {FUNCTION_LINES} lines: {long}"


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_config_fits_on_one_screen(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= CONFIG_LINES
