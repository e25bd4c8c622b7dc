"""`rlpost data`, through the real command line."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankers.datasets.load import load_collection
from rankers.files.trec import read_run
from rlpost.cli.main import app
from tests.small_beir import small_beir


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return small_beir(tmp_path / "small")


def rlpost(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_finds_collections_with_their_splits(folder: Path) -> None:
    row = next(
        line for line in rlpost("data", "list", folder.parent).splitlines() if "small" in line
    )
    assert "test train" in row
    assert "beir/scifact/test" in rlpost("data", "list", "--names", "scifact").split()


def test_info_counts(folder: Path) -> None:
    printed = rlpost("data", "info", folder, "--split", "train")
    assert "small (train)" in printed
    for name, value in {"documents": "12", "queries": "8", "judgements by grade": "1: 8"}.items():
        assert any(name in line and f" {value} " in line for line in printed.splitlines()), name


def test_convert_writes_what_loads_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    files = rlpost("data", "convert", folder, "--out", out, "--layout", "msmarco").split()
    assert str(out / "collection.tsv") in files
    copy, original = load_collection(out), load_collection(folder)
    assert (copy.queries, copy.qrels) == (original.queries, original.qrels)
    assert [d.content for d in copy.corpus.values()] == [
        d.content for d in original.corpus.values()
    ]


def test_retrieve_names_the_engine_in_the_run(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bm25.trec"
    printed = rlpost("data", "retrieve", folder, "--stage", "bm25s", "--depth", 3, "--out", out)
    assert "bm25-bm25s-k1=0.9-b=0.4" in printed
    assert set(read_run(out)) == set(load_collection(folder).queries)
    assert all(line.endswith(" bm25-bm25s-k1=0.9-b=0.4") for line in out.read_text().splitlines())


def test_ids_that_are_titles_go_all_the_way(folder: Path, tmp_path: Path) -> None:
    corpus = (folder / "corpus.jsonl").read_text().replace('"hash"', '"Hash (file): 2"')
    (folder / "corpus.jsonl").write_text(corpus)
    queries = (folder / "queries.jsonl").read_text().replace('"q-hash"', '"what is it"')
    (folder / "queries.jsonl").write_text(queries)
    (folder / "qrels" / "test.tsv").write_text("what is it\tHash (file): 2\t2.0\nq-sums\tsums\t1\n")
    out = tmp_path / "bm25.trec"
    rlpost("data", "retrieve", folder, "--stage", "bm25s", "--depth", 3, "--out", out)
    assert all(len(line.split()) == 6 for line in out.read_text().splitlines())
    assert read_run(out)["what is it"][0].id == "Hash (file): 2"
    printed = rlpost("evaluate", "--dataset", folder, "--run", out, "--json", "-")
    assert json.loads(printed)["runs"]["bm25"] == {"nDCG@10": 1, "RR@10": 1}


def test_queries_that_nobody_has_judged_are_counted_or_retrieved_for(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bm25.trec"
    words = ("data", "retrieve", folder, "--stage", "bm25s", "--out", out)
    note = f"note: 8 queries of {folder} have no judgements in split 'test'"
    assert f"{note}: left out" in rlpost(*words)
    assert len(read_run(out)) == 4
    printed = rlpost(*words, "--queries", "all")
    assert f"{note}\n" in printed
    assert "note: 2 of 12 queries have no candidate" in printed
    assert len(read_run(out)) == 10
    shutil.rmtree(folder / "qrels")
    assert "12 queries" in rlpost(*words)
    assert len(read_run(out)) == 10
