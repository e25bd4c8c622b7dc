"""The page in a browser: keys, failures in words, a server that is gone, and second thoughts."""

import pytest

from rankers.errors import BackendError
from rankers.serve.engine.service import EngineLostError, Service
from rankers.serve.settings import Limits
from tests.rankers.serve.browser import Browser, needs_browser
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.pages import DOCUMENTS, DONE, FAILED, FAST, RUNNING, ask, visit
from tests.rankers.serve.sockets import serving

pytestmark = needs_browser


def test_a_key_is_asked_for_where_the_server_wants_one(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST, keys=["right"])) as port:
        page.open(f"http://127.0.0.1:{port}/")
        page.until(FAILED)
        assert "asks for an API key" in page.text("#error")
        assert page.ask("document.activeElement.id") == "key"
        page.type("#key", "wrong")
        page.press("Enter")
        page.until("document.getElementById('error').innerText.includes('not accepted')")
        page.until(f"!{RUNNING}")
        page.type("#key", "right")
        page.press("Enter")
        page.until(DONE)
    assert not page.ask(FAILED)


def test_no_key_is_asked_for_where_none_is_needed(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        visit(page, port)
        assert page.ask("document.getElementById('key-field').hidden")


SHORT = Limits(header_timeout_s=1, document_chars=20)


@pytest.mark.parametrize(
    ("service", "limits", "words", "focus"),
    [
        (WordService(), SHORT, "Document 1: 32 characters, 20 allowed.", "pasted"),
        (WordService(most_jobs=0), FAST, "busy. Try again in 7 seconds", ""),
        (WordService(error=EngineLostError("it died")), FAST, "cannot rank just now: it died", ""),
        (WordService(delay_s=5), Limits(header_timeout_s=1, deadline_s=0.1), "longer than", ""),
        (WordService(error=BackendError("NaN")), FAST, "failed on this request: NaN (request", ""),
    ],
    ids=["422", "429", "503", "504", "500"],
)
def test_failures_are_told_in_words(
    page: Browser, service: Service, limits: Limits, words: str, focus: str
) -> None:
    with serving(service, settings(port=0, limits=limits)) as port:
        visit(page, port)
        ask(page, "cat", ["a document of too many characters"[:32], "a cat"])
        page.until(FAILED)
        assert words in page.text("#error")
        assert not page.ask(RUNNING)
        if focus:
            assert page.ask("document.activeElement.id") == focus


def test_a_server_that_is_gone_is_told_and_the_next_try_works(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        visit(page, port)
    ask(page, "cat", DOCUMENTS)
    page.until(FAILED)
    assert "does not answer" in page.text("#error")
    with serving(WordService(), settings(port=port, limits=FAST)):
        page.click("#submit")
        page.until(DONE)
        assert not page.ask(FAILED)


@pytest.mark.parametrize("how", ["the button", "the key"])
def test_a_request_can_be_cancelled(page: Browser, how: str) -> None:
    service = WordService(delay_s=60)
    with serving(service, settings(port=0, limits=FAST)) as port:
        visit(page, port)
        ask(page, "cat", DOCUMENTS)
        while not service.running:
            page.until(RUNNING)
        if how == "the button":
            page.click("#cancel")
        else:
            page.press("Escape")
        page.until("!document.querySelector('.running')")
        while service.running:
            page.until("!document.querySelector('.running')")
    assert len(service.withdrawn) == 1
    assert page.text("#status") == "Cancelled"
    assert page.errors == []
