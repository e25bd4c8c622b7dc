"""What is reranked: the documents that an evaluation leaves out are not shown to a model."""

import shutil
from pathlib import Path
from typing import Literal

import pytest

from rankers.datasets.load import IdenticalIds
from rankers.errors import DataError
from rankers.reranking.problems import read_problems
from tests.small_beir import lines, small_beir


def candidates(folder: Path, identical_ids: IdenticalIds) -> list[str]:
    problems = read_problems(
        dataset=str(folder),
        split="test",
        run=folder / "in.trec",
        depth=2,
        identical_ids=identical_ids,
    )
    return [passage.id for passage in problems.problem("copy")[1]]


def test_the_query_itself_is_no_candidate_and_takes_no_place(tmp_path: Path) -> None:
    folder = small_beir(tmp_path / "c")
    lines(folder / "queries.jsonl", [{"_id": "copy", "text": "copy a nested list"}])
    (folder / "qrels" / "test.tsv").write_text("copy\tlist\t1\n")
    (folder / "in.trec").write_text(
        "".join(f"copy Q0 {doc} 1 {9 - i} t\n" for i, doc in enumerate(("copy", "list", "hash")))
    )
    assert candidates(folder, "drop") == ["list", "hash"]
    assert candidates(folder, "keep") == ["copy", "list"]
    assert candidates(folder, "auto") == ["copy", "list"]  # same id, other text: no query


def test_a_run_is_reranked_whether_or_not_it_is_judged(tmp_path: Path) -> None:
    folder = small_beir(tmp_path / "c")
    run = tmp_path / "in.trec"
    run.write_text("".join(f"{q} Q0 hash 1 1 t\n" for q in ("q-hash", "q-list", "q-none")))

    def queries(kept: Literal["all", "judged"] = "all") -> tuple[list[str], list[str]]:
        said: list[str] = []
        found = read_problems(
            dataset=str(folder), split="test", run=run, depth=5, queries=kept, say=said.append
        )
        return [found.problem(query)[0].text for query in found.query_ids], said

    both = ["hash a text file", "sort a list in place"]
    absent = f"1 of 3 queries of {run} are not in {folder}: they are left out"
    assert queries() == (both, [absent, "1 of 2 queries have no judgements in split 'test'"])
    left_out = f"2 of 3 queries of {run} are not in split 'test' of {folder}: they are left out"
    assert queries("judged") == (both[:1], [left_out])
    shutil.rmtree(folder / "qrels")
    assert queries() == (both, [absent, "2 of 2 queries have no judgements in split 'test'"])
    with pytest.raises(DataError, match="has no split 'test'"):
        queries("judged")
