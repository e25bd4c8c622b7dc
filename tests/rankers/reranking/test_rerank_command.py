"""`rlpost rerank`, through the real command line, with the shipped ranker on real documents."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from rankers.files.trec import read_run, write_run
from rankers.types import ScoredDoc
from rlpost.cli.main import main
from tests.endpoint import Body, Reply, chat_reply, serving

HF = ("--method", "listwise", "--model", "tiny-ranker", "--backend", "hf")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    says: str


def rlpost(*arguments: str | Path) -> Done:
    """Run the command in this process, whose imports are paid once."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", ["rlpost", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return Done(int(stop.code or 0), said.getvalue())
    return Done(0, said.getvalue())


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six queries, each with one passage that answers it among eleven that do not."""
    folder = tmp_path_factory.mktemp("collection")
    topics = ("parse a date", "sort a list", "open a socket", "read a file", "join two paths", "x")
    docs = {f"d{i}": f"How to {topic} with the standard library" for i, topic in enumerate(topics)}
    docs |= {f"n{i}": f"Nothing but noise, number {i}" for i in range(11)}
    rows = [{"_id": name, "title": "", "text": text} for name, text in docs.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    queries = [{"_id": f"q{i}", "text": topic} for i, topic in enumerate(topics)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    (folder / "qrels").mkdir()
    lines = "".join(f"q{i}\td{i}\t1\n" for i in range(6))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    order = [*(f"n{i}" for i in range(11))]
    run = {
        f"q{i}": [ScoredDoc(d, -float(rank)) for rank, d in enumerate([*order[:9], f"d{i}"])]
        for i in range(6)
    }
    write_run(folder / "in.trec", run, tag="first")
    return folder


def given(collection: Path, out: Path) -> tuple[str, ...]:
    return (
        *HF,
        "--dataset",
        str(collection),
        "--run",
        str(collection / "in.trec"),
        "--out",
        str(out),
    )


def test_a_run_becomes_a_better_run_with_a_trace_and_a_cost(
    collection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.trec"
    done = rlpost("rerank", *given(collection, out))
    assert done.code == 0, done.says
    first, reranked = read_run(collection / "in.trec"), read_run(out)
    for query_id, docs in reranked.items():
        assert sorted(doc.id for doc in docs) == sorted(doc.id for doc in first[query_id])
    ranks = [[doc.id for doc in reranked[f"q{i}"]].index(f"d{i}") for i in range(5)]
    assert sum(ranks) / 5 < 4  # 9 in the run given
    settings, *queries = map(json.loads, (tmp_path / "out.trace.jsonl").read_text().splitlines())
    assert settings["settings"]["model"] == "tiny-ranker"
    assert {line["query"] for line in queries} == set(first)
    assert all(line["calls"] == 3 and sum(line["malformed"].values()) == 3 for line in queries)
    assert "18" in done.says.split("calls")[-1]  # six queries, windows of 5 by 3 over 10
    assert "queries" in done.says

    again = rlpost("rerank", *given(collection, out))
    assert again.code == 2
    assert "is there already: go on with --resume" in again.says
    resumed = rlpost("rerank", *given(collection, out), "--resume")
    assert resumed.code == 0
    assert "0, 6 finished before" in resumed.says
    other = rlpost("rerank", *given(collection, out), "--resume", "--passage-tokens", "9")
    assert other.code == 2
    assert "was made with passage_tokens None, not 9" in other.says


def test_a_killed_run_leaves_whole_lines_and_goes_on_to_the_same_result(
    collection: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole.trec", tmp_path / "killed.trec"
    done = rlpost("rerank", *given(collection, whole))
    assert done.code == 0, done.says
    command = [sys.executable, "-m", "rlpost.cli.main", "rerank", *given(collection, killed)]
    process = subprocess.Popen([*command, "--at-once", "1"], stderr=subprocess.DEVNULL)
    trace = tmp_path / "killed.trace.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not trace.exists() or trace.read_text().count("\n") < 3):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    with trace.open("a") as file:
        file.write(
            '{"query": "q5", "rank'
        )  # what a writer leaves that dies in the middle of a line
    finished = trace.read_text().count("\n") - 1
    done = rlpost("rerank", *given(collection, killed), "--resume")
    assert done.code == 0, done.says
    assert f"{6 - finished}, {finished} finished before" in done.says
    assert killed.read_text() == whole.read_text()


def test_json_lines_in_and_out(tmp_path: Path) -> None:
    row = {
        "query": "parse a date",
        "passages": ["nothing here", {"id": "b", "title": "Dates", "text": "how to parse a date"}],
    }
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"id": "named"}))
    run, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    done = rlpost("rerank", *HF, "--run", run, "--out", out, "--limit", "2")
    assert done.code == 0, done.says
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["1", "named"]
    assert [doc["index"] for doc in lines[0]["ranking"]] == [1, 0]
    assert lines[0]["ranking"][0]["id"] == "b"


def test_an_endpoint_is_asked_at_each_query_s_own_pace(collection: Path, tmp_path: Path) -> None:
    pytest.importorskip("openai", reason="the OpenAI client is not installed")

    def reversed_order(body: Body) -> Reply:
        shown = body["messages"][-1]["content"].count("\n[")
        return chat_reply(" > ".join(f"[{i}]" for i in range(shown, 0, -1)))

    out = tmp_path / "out.trec"
    with serving(reversed_order) as endpoint:
        arguments = ("--method", "listwise", "--model", "any-instruct", "--base-url", endpoint.url)
        files = ("--dataset", collection, "--run", collection / "in.trec", "--out", out)
        done = rlpost("rerank", *arguments, *files, "--limit", "3", "--window", "10")
    assert done.code == 0, done.says
    assert [docs[0].id for docs in read_run(out).values()] == ["d0", "d1", "d2"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--method": "magic"}, "no method 'magic': use one of listwise"),
        ({"--method": "first"}, "template 'compact', which answers the methods listwise, full"),
        ({"--model": "nowhere"}, "there is no model nowhere"),
        ({"--template": "x"}, "no template 'x'; there are:"),
        ({"--k": "3"}, "method listwise has no option k; it takes window, step"),
        ({"--backend": "sentence-transformers"}, "does not run on backend sentence-transformers"),
        ({"--window": "2", "--step": "3"}, "need 1 <= step <= window"),
        ({"--run": "missing.trec"}, "cannot read missing.trec"),
        ({"--dataset": "nowhere"}, "no collection at 'nowhere'"),
        ({"--option": "votes"}, "must be NAME=VALUE"),
        ({"--max-length": "40"}, "the model reads 40 tokens and the answer may take 48"),
        ({"--backend": "openai"}, "needs the endpoint's --base-url"),
    ],
)
def test_bad_input_is_one_sentence(
    change: dict[str, str],
    says: str,
    collection: Path,
    tmp_path: Path,
) -> None:
    names = given(collection, tmp_path / "out.trec")
    options = dict(zip(names[::2], names[1::2], strict=True)) | change
    arguments = [part for pair in options.items() for part in pair]
    done = rlpost("rerank", *arguments)
    assert done.code == 2
    assert says in done.says
    assert done.says.splitlines()[-1].startswith(("error: ", "  "))
    assert not any(tmp_path.iterdir())  # also no trace, which a corrected command would meet


def test_nothing_is_lost_to_a_mistake(collection: Path, tmp_path: Path) -> None:
    run, folder, out = tmp_path / "in.trec", tmp_path / "folder", tmp_path / "out.trec"
    run.write_bytes((collection / "in.trec").read_bytes())
    folder.mkdir()
    out.write_text("of an earlier time")
    common = (*HF, "--dataset", collection, "--run", run, "--overwrite", "--out")
    over_itself = rlpost("rerank", *common, tmp_path / "." / "in.trec")
    assert over_itself.code == 2
    assert "would write over the run to rerank" in over_itself.says
    on_folder = rlpost("rerank", *common, folder)
    assert on_folder.code == 2
    assert "is a folder: give the name of a file" in on_folder.says
    assert rlpost("rerank", *common, out, "--k", "3").code == 2
    assert run.read_bytes() == (collection / "in.trec").read_bytes()
    assert out.read_text() == "of an earlier time"


@pytest.mark.vllm
def test_on_vllm_the_ranking_is_that_of_transformers(collection: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "hf.trec", tmp_path / "vllm.trec"
    arguments = given(collection, one)
    assert rlpost("rerank", *arguments).code == 0
    changed = [{"hf": "vllm", str(one): str(other)}.get(a, a) for a in arguments]
    done = rlpost("rerank", *changed)
    assert done.code == 0, done.says
    assert other.read_text() == one.read_text()
