"""`rlpost evaluate` through the real command line: by hand, files, reproduction, bad input."""

import csv
import html
import json
import math
import os
import re
import sys
from pathlib import Path

import pytest

from rankers.evaluation.run_cost import percentile, run_cost
from rlpost.cli.main import main
from tests.small_beir import small_beir

QUERIES = ("q-hash", "q-rand", "q-sums", "q-maxi")
"""The judged queries of split test; each has one relevant document, named like it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small_beir(tmp_path / "small")
    write(tmp_path / "first.trec", {"q-hash": "hash rand", "q-rand": "sums rand", "q-sums": "maxi"})
    write(tmp_path / "second.trec", {q: q.removeprefix("q-") for q in QUERIES})
    return tmp_path


def write(path: Path, run: dict[str, str]) -> None:
    lines = [
        f"{query} Q0 {doc} {rank} {-rank} tag\n"
        for query, docs in run.items()
        for rank, doc in enumerate(docs.split(), 1)
    ]
    path.write_text("".join(lines))


def rlpost(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of the command line with these words."""
    monkeypatch.setattr(sys, "argv", ["rlpost", *map(str, words)])
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def evaluate(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    return rlpost(monkeypatch, "evaluate", "--dataset", "small", *words)


def test_shared_queries_alone_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ("--run", "first.trec", "--run", "second.trec")
    assert evaluate(monkeypatch, *runs, "--queries", "shared", "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["queries"] == 3  # first.trec lacks q-maxi
    assert result["runs"]["first"]["RR@10"] == pytest.approx(1.5 / 3)  # 1, 1 / 2 and 0
    assert result["runs"]["second"]["RR@10"] == 1
    write(folder / "third.trec", {"q-maxi": "maxi"})
    assert evaluate(monkeypatch, *runs, "--run", "third.trec", "--queries", "shared") == 2
    assert "is in all of the runs first, second, third" in capsys.readouterr().err


def test_numbers_by_hand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = evaluate(
        monkeypatch,
        *("--run", "first.trec", "--run", "second.trec", "--baseline", "first"),
        *("--measures", "nDCG@10", "RR@10", "R@1", "--json", "-"),
    )
    assert status == 0
    result = json.loads(capsys.readouterr().out)
    second_rank = 1 / math.log2(3)
    assert result["dataset"] == "small"
    assert result["runs"]["first"] == pytest.approx(
        {"nDCG@10": (1 + second_rank) / 4, "RR@10": 1.5 / 4, "R@1": 1 / 4}
    )
    assert result["runs"]["second"] == {"nDCG@10": 1.0, "RR@10": 1.0, "R@1": 1.0}
    rows = {row["measure"]: row for row in result["comparisons"]}
    assert list(rows) == ["nDCG@10", "RR@10", "R@1"]
    assert rows["RR@10"]["difference"] == pytest.approx(2.5 / 4)
    assert (rows["RR@10"]["wins"], rows["RR@10"]["ties"], rows["RR@10"]["losses"]) == (3, 1, 0)
    # Differences 0, .5, 1, 1: of 16 signings 2 * 2 are as far from 0 as the observed one.
    assert rows["RR@10"]["p_randomisation"] == pytest.approx(4 / 16, abs=0.02)
    assert result["notes"] == ["first lacks 1 of 4 judged queries: they count 0."]
    assert result["provenance"]["runs"]["first"]["tag"] == "tag"


def test_every_output_tells_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--run", "first.trec", "--run", "second.trec", "--json", "r.json"]
    words += ["--markdown", "r.md", "--html", "r.html", "--per-query", "r.csv"]
    assert evaluate(monkeypatch, *words) == 0
    printed = capsys.readouterr().out
    result = json.loads(Path("r.json").read_text())
    page, table = Path("r.html").read_text(), Path("r.md").read_text()
    for text in (printed, page, table):
        assert all(
            f"{mean:.4f}" in text for means in result["runs"].values() for mean in means.values()
        )
    assert page.count("<svg") == 3
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    with Path("r.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "RR@10"]
    assert [row["query"] for row in rows] == list(QUERIES)
    assert sum(float(row["first"]) for row in rows) / 4 == result["runs"]["first"]["RR@10"]


def test_bonferroni_is_the_raw_value_times_the_number_of_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "third.trec", {"q-hash": "rand hash"})
    words = ["--run", "first.trec", "--run", "second.trec", "--run", "third.trec"]
    assert evaluate(monkeypatch, *words, "--correction", "bonferroni", "--json", "-") == 0
    for row in json.loads(capsys.readouterr().out)["comparisons"]:
        assert row["p_t_test_corrected"] == pytest.approx(min(1.0, 2 * row["p_t_test"]))


def test_a_result_is_reproduced_until_something_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        evaluate(monkeypatch, "--run", "first.trec", "--run", "second.trec", "--json", "r.json")
        == 0
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    capsys.readouterr()
    assert rlpost(monkeypatch, "evaluate", "--reproduce", "../r.json") == 0
    assert "reproduced: 14 of 14 numbers are the same" in capsys.readouterr().out
    result = json.loads((folder / "r.json").read_text())
    now = dict(result["provenance"])
    result["provenance"] |= {"templates": "t0", "git": "c0", "versions": {"python": "2.7"}}
    (folder / "old.json").write_text(json.dumps(result))
    assert rlpost(monkeypatch, "evaluate", "--reproduce", "../old.json") == 0
    printed = capsys.readouterr().out.splitlines()
    assert f"changed since: the prompts, version t0, now {now['templates']}" in printed
    assert f"changed since: the code, commit c0, now {now['git']}" in printed
    assert f"changed since: python 2.7, now {now['versions']['python']}" in printed
    assert f"changed since: numpy None, now {now['versions']['numpy']}" in printed
    assert printed[-1] == "reproduced: 14 of 14 numbers are the same"
    write(folder / "first.trec", {"q-hash": "rand hash"})
    assert rlpost(monkeypatch, "evaluate", "--reproduce", "../r.json") == 1
    printed = capsys.readouterr().out
    assert f"changed since: the content of run {folder / 'first.trec'}" in printed
    assert "differs: RR@10 of first was 0.375000, is 0.125000" in printed
    assert "NOT reproduced" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "absent.trec"], "cannot read"),
        (["--run", "first.trec", "--baseline", "x"], "baseline 'x' is none of the runs first"),
        (["--run", "first.trec", "--run", "first.trec"], "have the same name: rename one"),
        (["--run", "other.trec"], "share no query: they belong to different collections or splits"),
        (["--run", "empty.trec"], "empty.trec is empty"),
        (
            ["--run", "nan.trec"],
            "nan.trec:1: score of 'hash' must be finite as a 32-bit float, got nan",
        ),
        (["--run", "twice.trec"], "twice.trec:2: 'hash' is listed twice for query 'q-hash'"),
        (["--run", "spaces.trec"], "spaces.trec:1: expected 'query Q0 doc rank score tag'"),
        (["--run", "first.trec", "--measures", "nDCG@10", "best"], "unknown measure 'best'"),
        (["--run", "first.trec", "--measures", "R", "nDCG@0"], "measure 'nDCG@0': cutoff must be"),
        ([], "give --dataset and --run, a suite file, or --reproduce RESULT.json"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    (folder / "empty.trec").touch()
    (folder / "other.trec").write_text("elsewhere Q0 hash 1 1.0 t\n")
    (folder / "nan.trec").write_text("q-hash Q0 hash 1 nan t\n")
    (folder / "twice.trec").write_text("q-hash Q0 hash 1 2 t\nq-hash Q0 hash 2 1 t\n")
    (folder / "spaces.trec").write_text("q-hash Q0 a hash 1 2 t\n")
    before = sorted(folder.iterdir())
    assert evaluate(monkeypatch, *words, "--json", "r.json", "--html", "r.html") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_what_is_no_result_is_not_reproduced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("{}", "no json"):
        (folder / "r.json").write_text(text)
        assert rlpost(monkeypatch, "evaluate", "--reproduce", "r.json") == 2
        assert "r.json" in capsys.readouterr().err


def test_cost_comes_from_the_trace_beside_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cost(folder / "second.trec") is None
    records = [{"settings": {"method": "listwise", "seed": 3}}]
    for i in range(1, 21):
        record = {"query": str(i), "calls": 2, "prompt_tokens": 10 * i, "generated_tokens": 5}
        records.append(record | {"seconds": i / 10, "malformed": {"ok": 1, "missing": i % 2}})
    trace = folder / "second.trace.jsonl"
    trace.write_text("".join(json.dumps(record) + "\n" for record in records))
    cost = run_cost(folder / "second.trec")
    assert cost is not None
    assert (cost.calls_per_query, cost.tokens_per_query) == (2, 110)
    assert (cost.seconds_p50, cost.seconds_p95) == (1.0, 1.9)
    assert cost.malformed == {"ok": 20, "missing": 10}
    words = ["--run", "first.trec", "--run", "second.trec", "--json", "r.json", "--html", "r.html"]
    assert evaluate(monkeypatch, *words) == 0
    made = json.loads(Path("r.json").read_text())["provenance"]["runs"]["second"]["made_with"]
    assert made == {"method": "listwise", "seed": 3, "temperature": 0.0}
    assert "nDCG@10 against tokens per query" in Path("r.html").read_text()


def test_percentiles_are_nearest_rank() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.01, 0.5, 0.95)] == [1.0, 2.0, 3.0]


def test_documents_of_another_collection_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "prefixed.trec", {q: f"pre_{q.removeprefix('q-')}" for q in QUERIES})
    assert evaluate(monkeypatch, "--run", "prefixed.trec") == 2
    error = capsys.readouterr().err
    assert "4 of 4 documents of prefixed, such as 'pre_hash', are not in the collection" in error
    write(folder / "partly.trec", {"q-hash": "pre_hash hash", "q-rand": "rand", "q-sums": "new"})
    assert evaluate(monkeypatch, "--run", "partly.trec", "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert "2 of 4 documents of partly are not in the collection, such as 'new'." in result["notes"]
    assert result["runs"]["partly"]["RR@10"] == (0.5 + 1) / 4
    write(folder / "unjudged.trec", {"q-hash": "rand sums"})
    assert evaluate(monkeypatch, "--run", "unjudged.trec", "--json", "-") == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "No document of unjudged is judged: every measure of relevance is 0." in notes


NAMES = (
    "a$\\frac{x$",
    "b$y$",
    "_hidden",
    "<img src=x onerror=alert(1)>",
    'q"u\'o version="2" te',
    "100%_{x}^",
    "new\nline",
    "[bold]x[b]",
    "\u691c\u7d22",
    "long" * 40 + "1",
    "long" * 40 + "2",
    "pi|pe *star* `code`",
)


def test_any_name_of_a_file_is_shown_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words: list[object] = []
    for i, name in enumerate(NAMES):
        write(folder / f"{name}.trec", {"q-hash": f"hash {list('abc')[i % 3]}"})
        trace = [{"settings": {}}, {"query": "q-hash", "calls": 1, "prompt_tokens": 9 + i}]
        trace[1] |= {"generated_tokens": 1, "seconds": 0.5, "malformed": {}}
        lines = "".join(json.dumps(record) + "\n" for record in trace)
        (folder / f"{name}.trace.jsonl").write_text(lines)
        words += ["--run", f"{name}.trec"]
    outputs = ["--html", "o.html", "--markdown", "o.md", "--json", "o.json"]
    assert evaluate(monkeypatch, *words, *outputs) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert all(name.replace("\n", "\\n") in printed.out for name in NAMES)
    assert printed.out.count("0.2500") >= 2 * len(NAMES)
    assert list(json.loads(Path("o.json").read_text())["runs"]) == list(NAMES)
    page = Path("o.html").read_text()
    assert "<img" not in page
    drawn = set(re.findall(r"<text[^>]*>([^<]*)</text>", page))
    short = [name for name in NAMES if len(name) < 36]
    shown = {html.unescape(text).lstrip("\u200b") for text in drawn}
    assert {name.replace("\n", "\\n") for name in short} <= shown
    assert sum(text.startswith("longlong") for text in shown) == 2
    rows = [line for line in Path("o.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(NAMES)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 8 for row in rows)


def test_a_name_that_is_not_text_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(monkeypatch, "--run", os.fsdecode(b"a\xff.trec")) == 2
    assert "is not UTF-8: rename it" in capsys.readouterr().err
