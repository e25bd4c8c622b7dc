"""The generated pages say what the code says now."""

import pytest

from rlpost.docs.generate import DOCS, pages
from tests.paths import REPO

PAGES = pages(REPO / "configs")


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name], "run scripts/docs"


def test_every_preset_states_its_paper_and_what_it_leaves_out() -> None:
    rows = [row for row in PAGES["presets.md"].splitlines() if "arXiv" in row]
    assert rows
    assert [row for row in rows if "Left out" not in row] == []
