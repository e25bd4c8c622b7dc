"""First stages by name, fusion by hand, and dense search against a plain sort."""

import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from rankers.errors import DataError
from rankers.files.trec import write_run
from rankers.first_stage.by_name import first_stage, parts_of
from rankers.first_stage.dense import dense_run, nearest
from rankers.first_stage.fusion import reciprocal_rank_fusion, score_fusion
from rankers.types import Collection, Document, ScoredDoc

A = {"q": [ScoredDoc("x", 9.0), ScoredDoc("y", 5.0), ScoredDoc("z", 1.0)]}
B = {"q": [ScoredDoc("y", 0.5)], "p": [ScoredDoc("x", 0.1), ScoredDoc("z", 0.1)]}


def test_reciprocal_rank_fusion_by_hand() -> None:
    fused = reciprocal_rank_fusion([A, B], k=60)
    assert [doc.id for doc in fused["q"]] == ["y", "x", "z"]
    assert [doc.score for doc in fused["q"]] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 63])
    assert [doc.id for doc in fused["p"]] == ["x", "z"]
    assert len(reciprocal_rank_fusion([A, B], depth=1)["q"]) == 1


def test_score_fusion_by_hand() -> None:
    fused = score_fusion([A, B], weights=[1.0, 0.25])
    assert fused["q"] == [
        ScoredDoc("x", 1.0),
        ScoredDoc("y", 0.75),  # (5 - 1) / 8 + 0.25 * 1
        ScoredDoc("z", 0.0),
    ]
    assert fused["p"] == [ScoredDoc("x", 0.25), ScoredDoc("z", 0.25)]
    raw = score_fusion([A, B], normalisation="none")
    assert raw["q"][1] == ScoredDoc("y", 5.5)
    with pytest.raises(ValueError, match="zip"):
        score_fusion([A, B], weights=[1.0])


@pytest.fixture
def toy() -> Collection:
    texts = {"x": "cats sleep all day", "y": "dogs bark at night", "z": "cats and dogs"}
    return Collection(
        name="toy",
        corpus={i: Document(id=i, title="", text=text) for i, text in texts.items()},
        queries={"q": "cats", "r": "dogs bark"},
        qrels={"q": {"x": 1}, "r": {"y": 1}},
        excluded={"q": frozenset({"z"})},
    )


def test_names_stand_for_engines_and_tags_say_which(toy: Collection, tmp_path: Path) -> None:
    run, tag = first_stage(toy, "bm25s", cache_dir=tmp_path)
    assert [doc.id for doc in run["q"]] == ["x"]  # z matches, and is excluded
    assert tag == "bm25-bm25s-k1=0.9-b=0.4"
    path = tmp_path / "mine.trec"
    write_run(path, {"r": [ScoredDoc("z", 2.0), ScoredDoc("y", 1.0)]}, tag="t")
    given = {"mine": path}
    assert first_stage(toy, f"run:{path}") == first_stage(toy, "given:mine", given=given)
    assert first_stage(toy, "given:mine", given=given, depth=1).run == {"r": [ScoredDoc("z", 2.0)]}
    run, tag = first_stage(toy, "rrf(bm25s, sum(given:mine, bm25s))", given=given, depth=2)
    assert [doc.id for doc in run["r"]] == ["y", "z"]
    assert tag == "rrf-bm25-bm25s-k1=0.9-b=0.4+sum-mine+bm25-bm25s-k1=0.9-b=0.4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bm26", "unknown first stage 'bm26': use bm25, "),
        ("given:none", "toy comes with no run 'none': there is none"),
        ("rrf(bm25s)", r"rrf\(...\) fuses at least two first stages, got 1"),
        ("run:absent.trec", "cannot read absent.trec"),
    ],
)
def test_names_that_stand_for_nothing(toy: Collection, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        first_stage(toy, name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("elsewhere Q0 z 1 1.0 t", "no query of .* is among the 2 queries of"),
        ("r Q0 pre_z 1 1.0 t", "1 of 1 documents of .*, such as 'pre_z', are not in"),
    ],
)
def test_a_run_of_another_collection_is_refused(
    toy: Collection, tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "other.trec"
    path.write_text(line + "\n")
    for name in (f"run:{path}", f"rrf(run:{path}, run:{path})", "given:other"):
        with pytest.raises(DataError, match=message):
            first_stage(toy, name, given={"other": path})


def test_a_name_is_checked_without_loading_anything() -> None:
    name = "rrf(bm25, sum(dense:no/such/model, given:x))"
    assert parts_of(name) == ["bm25", "dense:no/such/model", "given:x"]
    with pytest.raises(DataError, match="unknown first stage 'bm26'"):
        parts_of("rrf(bm25, bm26)")


def test_nearest_is_a_plain_sort_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((4, 8)).astype(np.float32)
    documents = rng.standard_normal((50, 8)).astype(np.float32)
    documents[7] = documents[31]  # a tie
    expected = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :10]
    for chunk in (100, 13):
        monkeypatch.setattr("rankers.first_stage.dense._CHUNK", chunk)
        best, scores = nearest(queries, documents, 10)
        assert best.tolist() == expected.tolist()
        assert (np.diff(scores, axis=1) <= 0).all()


class CountingEncoder:
    """Bag of letters in place of a model; counts what it was given."""

    max_seq_length = 128
    encoded = 0

    def __init__(self, path: str, **_: object) -> None:
        if path == "broken":
            raise OSError("no such\nmodel")

    def eval(self) -> "CountingEncoder":
        return self

    def modules(self) -> list[object]:
        return []

    prompts: ClassVar = {"query": "", "document": ""}

    def encode_query(self, texts: list[str], **_: object) -> NDArray[np.float32]:
        CountingEncoder.encoded += len(texts)
        counts = np.array([[text.count(c) for c in "abcdegknort"] for text in texts], np.float32)
        vectors: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return vectors

    encode_document = encode_query


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> type[CountingEncoder]:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = CountingEncoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    CountingEncoder.encoded = 0
    return CountingEncoder


def test_dense_run_encodes_the_corpus_once(
    toy: Collection, tmp_path: Path, encoder: type[CountingEncoder]
) -> None:
    first = dense_run(toy, "letters", depth=2, cache_dir=tmp_path)
    assert encoder.encoded == 3 + 2
    assert dense_run(toy, "letters", depth=2, cache_dir=tmp_path) == first
    assert encoder.encoded == 3 + 2 + 2  # the queries alone
    assert "z" not in [doc.id for doc in first["q"]]
    assert len(first["q"]) == len(first["r"]) == 2
    assert first["r"][0].id == "y"
    dense_run(toy, "letters", depth=2, document_prompt="passage: ", cache_dir=tmp_path)
    assert encoder.encoded == 3 + 2 + 2 + 5


def test_a_model_that_is_none(
    toy: Collection, tmp_path: Path, encoder: type[CountingEncoder]
) -> None:
    with pytest.raises(DataError, match=r"cannot load 'broken' .*\(no such model\)"):
        dense_run(toy, "broken", cache_dir=tmp_path)
    assert not list(tmp_path.rglob("*.npy"))
