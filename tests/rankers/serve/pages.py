"""The page as tests use it: where to go, what to fill in, what to wait for."""

from rankers.serve.settings import Limits
from tests.rankers.serve.browser import Browser

DONE = "!document.getElementById('results').hidden && !document.querySelector('.running')"
FAILED = "!document.getElementById('error').hidden"
RUNNING = "document.querySelector('.running')"
FAST = Limits(header_timeout_s=1)
"""A server that does not wait for the browser's idle connections when it ends."""
DOCUMENTS = ["a dog and a bird", "the fish", "a black cat", "a cat"]
"""WordService scores them -4/5, -2/3, 2 - 1/4 and 1 - 1/3 for "black cat"."""


def visit(page: Browser, port: int) -> None:
    page.open(f"http://127.0.0.1:{port}/")
    page.until("document.getElementById('model').value")


def ask(page: Browser, query: str, documents: list[str]) -> None:
    page.type("#query", query)
    page.type("#pasted", "\n".join(documents))
    page.press("Enter", "Control")


def column(page: Browser, side: str, part: str) -> list[str]:
    """Text of a part of every row, before or after."""
    found = f"[...document.querySelectorAll('.{side} li {part}')].map(e => e.innerText)"
    return [str(text) for text in page.ask(found)]
