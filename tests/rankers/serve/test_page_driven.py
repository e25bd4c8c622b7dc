"""The page in a browser: a person types, submits and reads."""

import re
from pathlib import Path

import pytest

from rankers.serve.http.page import examples
from rankers.serve.http.page.examples import PageExample
from tests.rankers.serve.browser import Browser, needs_browser
from tests.rankers.serve.fakes import WordService, info, settings
from tests.rankers.serve.pages import DOCUMENTS, DONE, FAILED, FAST, ask, column, visit
from tests.rankers.serve.sockets import serving

pytestmark = needs_browser

HTML = "<img src=x onerror=document.title='attacked'> <b>cat</b>"
HTML_NAME = "words<b>"


def test_type_submit_and_see_both_orders(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        visit(page, port)
        ask(page, "black cat", [*DOCUMENTS, "", "  "])
        page.until(DONE)
    assert column(page, "before", ".text") == DOCUMENTS
    assert column(page, "after", ".text") == [DOCUMENTS[i] for i in (2, 3, 1, 0)]
    assert [text.splitlines()[0] for text in column(page, "after", ".move")] == [
        "\u21912",
        "\u21912",
        "\u21931",
        "\u21933",
    ]
    # Their sigmoids.
    assert column(page, "after", ".score") == ["0.852", "0.661", "0.339", "0.310"]
    assert "sigmoid" in page.text(".after .hint")
    assert page.ask("document.querySelectorAll('#lines path:not(.head)').length") == 4
    facts = page.text("#facts")
    for value in ("model call\n1", "tokens read\n12", "tokens written\n2"):
        assert value in facts
    assert page.text("#outcome") == "4 documents, 4 moved"
    assert page.text("#status").startswith("Done: 4 documents, 4 moved")
    assert page.errors == []


def test_lines_join_the_two_places_of_a_document(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        visit(page, port)
        ask(page, "black cat", DOCUMENTS)
        page.until(DONE)
    for index in range(4):
        first, last = page.ask(
            f"['before', 'after'].map(side => {{"
            f" const e = document.querySelector(`.${{side}} li[data-index='{index}']`);"
            f" return e.offsetTop - document.querySelector('#board ol').offsetTop }})"
        )
        drawn = page.ask(
            f"document.querySelector('path[data-index=\"{index}\"]').getAttribute('d')"
        )
        start, end = re.findall(r"^M2 ([\d.]+)C.* ([\d.]+)$", drawn)[0]
        assert first < float(start) < first + 70
        assert last < float(end) < last + 70


def test_texts_are_shown_and_never_become_markup(page: Browser) -> None:
    service = WordService(models={HTML_NAME: info(HTML_NAME)})
    with serving(service, settings(port=0, limits=FAST)) as port:
        visit(page, port)
        page.click("#explain")
        ask(page, HTML, [HTML, "a dog"])
        page.until(DONE)
    assert column(page, "before", ".text")[0] == HTML
    assert page.ask("document.querySelectorAll('main img, main b').length") == 0
    assert page.ask("document.title") == "Rerank - rlpost"
    assert "I read 2 passages" in page.text("#written")
    assert page.errors == []


def test_without_a_mouse(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        visit(page, port)
        page.ask("document.getElementById('query').focus()")
        visited = []
        for _ in range(6):
            page.press("Tab")
            visited.append(page.ask("document.activeElement.id || document.activeElement.name"))
        assert visited == ["source", "pasted", "model", "compare", "explain", "submit"]
        page.press(" ")
        page.until(DONE)
        assert page.ask("document.activeElement.id") == "submit"  # nothing has taken it away
        page.press("Tab")
        page.press(" ")  # the first document of the results opens
        assert page.ask("document.querySelector('.before details').open")


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("a.txt", "a dog\r\n\r\n a cat \n", ["a dog", "a cat"]),
        (
            "a.jsonl",
            '{"text": "a dog"}\n\n{"contents": "a\\ncat", "title": "T"}\n"plain"\n',
            ["a dog", "T a\ncat", "plain"],
        ),
        ("a.jsonl", '{"text": "a dog"}\n{"body": 1}\n', "a.jsonl, line 2 has neither"),
        ("a.jsonl", '{"text": "a dog"\n', "a.jsonl, line 1 is not JSON"),
        ("a.txt", "\n", "a.txt holds no document"),
    ],
    ids=["lines", "json", "no text", "no json", "empty"],
)
def test_documents_from_a_file(
    page: Browser, tmp_path: Path, name: str, content: str, shown: list[str] | str
) -> None:
    file = tmp_path / name
    file.write_bytes(content.encode())
    service = WordService()
    with serving(service, settings(port=0, limits=FAST)) as port:
        visit(page, port)
        page.click("[value=file] + span")
        page.upload("#file", file)
        page.until(f"{FAILED} || document.getElementById('count').innerText")
        if isinstance(shown, str):
            assert shown in page.text("#error")
            return
        page.click("#submit")
        page.until(DONE)
    assert [passage.text for passage in service.jobs[0].passages] == shown


def test_a_bad_file_leaves_nothing_of_the_good_one_before(page: Browser, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_bytes(b"a cat")
    bad.write_bytes(b"\xff\xfe")
    service = WordService()
    with serving(service, settings(port=0, limits=FAST)) as port:
        visit(page, port)
        page.click("[value=file] + span")
        page.upload("#file", good)
        page.until("document.getElementById('count').innerText == '1 document'")
        page.upload("#file", bad)
        page.until(FAILED)
        assert "bad.txt is not a text file" in page.text("#error")
        page.click("#submit")
        page.until("document.getElementById('error').innerText.startsWith('Choose a file')")
    assert service.jobs == []


def test_a_query_of_the_collection_knows_its_answer(
    page: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def made() -> list[PageExample]:
        return [PageExample(query="black cat", documents=DOCUMENTS, relevant=2)]

    monkeypatch.setattr(examples, "_made", made)
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        visit(page, port)
        page.click("[value=collection] + span")
        page.until("document.getElementById('example').options.length == 2")
        page.choose("#example", "0")
        page.until("document.querySelector('[data-source=collection] .preview li')")
        page.click("#submit")
        page.until(DONE)
        assert "answer's rank\n3 \u2192 1" in page.text("#facts")
        assert page.text(".before h3") == "BM25"
        assert page.ask("document.querySelector('.after li').className").startswith("answer")
        # Of another query nobody knows the answer.
        page.type("#query", "dog")
        page.click("#submit")
        page.until(f"{DONE} && document.querySelector('.after li').dataset.index == '0'")
        assert page.ask("document.querySelectorAll('.answer').length") == 0


def test_two_models_side_by_side_and_what_to_beware_of(page: Browser) -> None:
    service = WordService(failures=3)
    with serving(service, settings(port=0, limits=FAST)) as port:
        visit(page, port)
        page.choose("#compare", "order")
        ask(page, "black cat", DOCUMENTS)
        page.until(DONE)
    assert sorted(job.model for job in service.jobs) == ["order", "words"]
    assert (page.text(".before h3"), page.text(".after h3")) == ("order", "words")
    assert column(page, "before", ".score") == []
    assert len(column(page, "after", ".score")) == 4
    assert page.text("#outcome") == "4 documents, all ranked alike"
    assert "words: The model failed on 3 questions" in page.text("#notices")


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Browser) -> None:
    with serving(WordService(), settings(port=0, limits=FAST)) as port:
        for dark in (False, True):
            page.screen(390, 844, dark=dark)
            visit(page, port)
            ask(page, "black cat", [*DOCUMENTS, "unbroken" * 40])
            page.until(DONE)
            assert page.ask("document.documentElement.scrollWidth") == 390
            assert page.ask("document.querySelector('.before ol').offsetWidth") < 40  # ranks alone
            tops = page.ask("[...document.querySelectorAll('#board ol')].map(e => e.offsetTop)")
            assert tops[0] == tops[1]
            assert min(page.ask(CONTRASTS)) >= 4.5
    assert page.errors == []


CONTRASTS = """(() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => rgb(c).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
    return rgb(c)[3] === 0 ? behind(e.parentElement) : c };
  return [...document.querySelectorAll('h1, label, .hint, button, .text, .rank, .move, dt, dd')]
    .filter((e) => e.offsetParent && getComputedStyle(e).visibility == 'visible')
    .map((e) => [getComputedStyle(e).color, behind(e)].map(light).sort((a, b) => b - a))
    .map(([high, low]) => (high + 0.05) / (low + 0.05));
})()"""
