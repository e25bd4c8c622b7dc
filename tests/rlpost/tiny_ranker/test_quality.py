"""Lists of the quality table: the best of the first stage, a relevant document among them."""

from rankers.types import Collection, Document, ScoredDoc
from rlpost.tiny_ranker.quality import Quality, QualityRow, list_run, table


def test_lists_hold_a_relevant_document() -> None:
    documents = {name: Document(id=name, title="", text=name) for name in "abcde"}
    collection = Collection(
        name="letters",
        corpus=documents,
        queries={"q1": "x", "q2": "y", "q3": "z", "q4": "few"},
        qrels={"q1": {"b": 1}, "q2": {"d": 1}, "q3": {"e": 1}, "q4": {"a": 1}},
    )
    found = [ScoredDoc(name, -place) for place, name in enumerate("abcd")]
    run = dict.fromkeys(("q1", "q2", "q3"), found) | {"q4": found[:2]}
    ids = {q: [doc.id for doc in docs] for q, docs in list_run(collection, run, 3).items()}
    assert ids == {"q1": ["a", "b", "c"]}  # q2, q3: missed, q4: too short


def test_the_table_is_markdown() -> None:
    row = QualityRow(system="model", ndcg=0.71234, ci95=(0.7, 0.73), rr=0.6)
    quality = Quality(collection="letters", num_queries=2, malformed=0.0, rows=(row,))
    assert table([quality]).splitlines()[2] == (
        "| letters (2 queries) | model | 0.7123 | 0.7000 to 0.7300 | 0.6000 |"
    )
