"""The page at /: what is sent to a browser, and the queries to try."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rankers.serve.engine.service import ServiceError
from rankers.serve.http.app import create_app
from rankers.serve.http.page.examples import CANDIDATES, Examples, PageExample, examples
from rankers.serve.http.page.files import FILES, PATHS
from rankers.types import Collection, Document, ScoredDoc
from tests.rankers.serve.fakes import WordService, settings

EXAMPLES = "/page/examples/pydoc"


def test_every_file_is_sent_with_headers_that_let_nothing_else_run() -> None:
    client = TestClient(create_app(WordService(), settings()))
    for path in PATHS:
        answer = client.get(path)
        assert answer.is_success, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/").headers["content-type"].startswith("text/html")
    assert client.get("/page/main.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["none.js", "..%2fexamples.py", "%2e%2e/__init__.py"])
def test_no_other_file_can_be_had(name: str) -> None:
    client = TestClient(create_app(WordService(), settings()))
    assert client.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("name", FILES)
def test_a_file_needs_nothing_from_elsewhere_and_is_never_markup(name: str) -> None:
    text = FILES[name].content.decode()
    assert set(re.findall(r"\w+://[^\s\"'<>)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", text)
    named = re.findall(r"(?:from \"\./|(?:src|href)=\"page/)([^\"]+)", text)
    assert set(named) <= set(FILES)


def test_the_page_needs_no_key_and_its_examples_do() -> None:
    client = TestClient(create_app(WordService(), settings(keys=["own"])))
    assert all(client.get(path).is_success for path in PATHS)
    for path in (EXAMPLES, f"{EXAMPLES}/0", "/page/none.js"):
        assert client.get(path).status_code == 401


def test_examples_are_queries_that_leave_something_to_do() -> None:
    documents = {name: Document(id=name, title=name, text="text") for name in "abc"}
    ids = ["q:json.encoder:first", "q:json:second", "q:json:absent", "q:torch.nn:third"]
    collection = Collection(
        name="some",
        corpus=documents,
        queries={query_id: f"words of {query_id}" for query_id in ids},
        qrels={query_id: {"b": 1} for query_id in ids},
    )
    orders = dict(zip(ids, ["bac", "acb", "ac", "ab"], strict=True))
    run = {query_id: [ScoredDoc(name, 1.0) for name in order] for query_id, order in orders.items()}
    assert list(examples(collection, run)) == [
        PageExample(
            query="words of q:json:second", documents=["a text", "c text", "b text"], relevant=2
        )
    ]


def test_examples_that_cannot_be_made_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no room on the disk >&2; exit 1\n")
    python.chmod(0o755)
    one = PageExample(query="q", documents=["a", "b"], relevant=1)
    tried = Examples()

    async def play() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(python))
            with pytest.raises(ServiceError, match="pydoc cannot be read: no room on the disk"):
                await tried.all()
            python.write_text(
                f"#!/bin/sh\necho x >> {tmp_path}/runs\necho '[{one.model_dump_json()}]'\n"
            )
            first, second = await asyncio.gather(tried.all(), tried.all())
        assert first == second == await tried.all() == [one]

    asyncio.run(play())
    assert (tmp_path / "runs").read_text() == "x\n"


@pytest.mark.slow  # the collection may have to be extracted
def test_the_examples_of_the_collection() -> None:
    with TestClient(create_app(WordService(), settings())) as client:
        listed = client.get(EXAMPLES).json()
        assert len(listed) >= 10
        for number, one in enumerate(listed[:3]):
            documents = client.get(f"{EXAMPLES}/{number}").json()
            assert len(set(documents)) == len(documents) <= CANDIDATES
            assert 0 < one["relevant"] < len(documents)
        assert client.get(f"{EXAMPLES}/{len(listed)}").status_code == 404
        assert client.get(f"{EXAMPLES}/first").status_code == 422
