"""What is reranked: the documents that an evaluation leaves out are not shown to a model."""

from pathlib import Path

from rankers.datasets import IdenticalIds
from rlpost.reranking.problems import read_problems
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
