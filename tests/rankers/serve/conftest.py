"""One browser for all tests of the page."""

from collections.abc import Iterator

import pytest

from tests.rankers.serve.browser import Browser, browser


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(tab: Browser) -> Browser:
    tab.screen(1280, 900)
    tab.errors.clear()
    return tab
