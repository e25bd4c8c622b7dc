"""The trace of a reranking: its name, and what becomes of a damaged one."""

import json
from pathlib import Path

import pytest

from rankers.errors import UserError
from rankers.evaluation.provenance import run_record
from rankers.evaluation.run_cost import run_cost
from rankers.files.trace_name import trace_path
from rankers.reranking.trace_file import TraceFile
from rankers.types import Passage, Query, Ranking, ScoredDoc

SETTINGS = {"method": "listwise"}


def written(path: Path, queries: str = "abc") -> list[bytes]:
    """A trace of finished queries, as lines; the settings come first."""
    trace = TraceFile(path, SETTINGS, out="x.trec")
    for query in queries:
        passages = [Passage(id=f"{query}{i}", text="") for i in range(2)]
        trace.add((Query(id=query, text=""), passages), Ranking(order=(1, 0)))
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("out", "trace"),
    [
        ("x.trec", "x.trace.jsonl"),
        ("x.jsonl", "x.trace.jsonl"),
        ("dl.first.trec", "dl.first.trace.jsonl"),
        ("dl.listwise.trec.gz", "dl.listwise.trace.jsonl"),
        ("v1.2", "v1.2.trace.jsonl"),
        ("x.txt", "x.txt.trace.jsonl"),
    ],
)
def test_outputs_of_different_names_have_different_traces(out: str, trace: str) -> None:
    assert trace_path(Path("runs", out)) == Path("runs", trace)


def test_whole_lines_around_damaged_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.trace.jsonl"
    lines = written(path)
    no_score = json.dumps({"query": "d", "ranking": [["d0", None]]}).encode() + b"\n"
    path.write_bytes(b"".join([*lines[:2], lines[2][:30] + b"\n", b"\xff\0\n", lines[3], no_score]))
    trace = TraceFile(path, SETTINGS)
    assert trace.damaged == 3
    assert trace.finished == {
        "a": [ScoredDoc("a1", 0.0), ScoredDoc("a0", -1.0)],
        "c": [ScoredDoc("c1", 0.0), ScoredDoc("c0", -1.0)],
    }
    assert path.read_bytes() == b"".join([*lines[:2], lines[3]])
    assert TraceFile(path, SETTINGS).damaged == 0


def test_a_trace_that_cannot_be_gone_on_with_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.trace.jsonl"
    lines = written(path)
    for content in (lines[0][:20] + b"\n" + lines[1], b"\x89PNG\r\n", b"".join(lines[1:])):
        path.write_bytes(content)
        with pytest.raises(UserError, match="start over with --overwrite"):
            TraceFile(path, SETTINGS)
        assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b'{"settings": {"meth'])
def test_one_that_had_hardly_begun_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.trace.jsonl"
    path.write_bytes(content)
    lines = written(path)
    assert len(lines) == 4
    assert json.loads(lines[0]) == {"settings": SETTINGS, "out": "x.trec"}


def test_damage_is_told_beside_the_cost(tmp_path: Path) -> None:
    run, path = tmp_path / "x.trec", tmp_path / "x.trace.jsonl"
    run.write_text("a Q0 a1 1 1.0 t\n")
    lines = written(path)
    path.write_bytes(b"".join([*lines[:3], lines[3][:-9], b"\n"]))
    assert run_record(run)["trace_lines_damaged"] == 1
    assert run_record(run)["made_with"] == {"method": "listwise", "temperature": 0.0}
    cost = run_cost(run)
    assert cost is not None
    assert cost.calls_per_query == 0
