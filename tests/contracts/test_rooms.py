"""The rooms of the packages: imports go down the floors that the architecture page draws."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import REPO

PAGE = (REPO / "rlpost" / "docs" / "architecture.md").read_text("utf-8")
PACKAGES = ("rankers", "rlpost", "workers")
FLAT_FILES = 8
"""Of a package, at most: what does not belong into a room is rare."""


def floors() -> dict[str, int]:
    """``package.room`` -> its line in the drawing, from the top."""
    drawing = re.search(r"^```floors\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert drawing is not None
    rows = [line.split("|") for line in drawing[1].splitlines()]
    return {
        f"{package.strip()}.{room}": height
        for height, (package, rooms) in enumerate(rows)
        for room in rooms.split()
    }


FLOORS = floors()


def rooms_imported(path: Path) -> Iterator[tuple[str, int]]:
    """Rooms of our own that ``path`` imports, also inside functions, with the line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            room = ".".join(name.split(".")[:2])
            if name.split(".")[0] in PACKAGES and room in FLOORS:
                yield room, node.lineno


def room_of(path: Path) -> str:
    package, room = path.relative_to(REPO).parts[:2]
    return f"{package}.{room.removesuffix('.py')}"


MODULES = [
    path
    for package in PACKAGES
    for path in sorted((REPO / package).rglob("*.py"))
    if path != REPO / package / "__init__.py"
]


def test_the_drawing_has_every_room() -> None:
    assert {room_of(path) for path in MODULES} == FLOORS.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPO)))
def test_imports_go_down(path: Path) -> None:
    here = room_of(path)
    if here == "rlpost.cli":
        return  # composes all packages
    up = [
        (line, room)
        for room, line in rooms_imported(path)
        if room != here and FLOORS[room] <= FLOORS[here]
    ]
    assert not up, f"{here} may not import {up}"


@pytest.mark.parametrize("package", PACKAGES)
def test_few_files_lie_flat(package: str) -> None:
    flat = [path.name for path in (REPO / package).glob("*.py") if path.name != "__init__.py"]
    assert len(flat) <= FLAT_FILES, flat
