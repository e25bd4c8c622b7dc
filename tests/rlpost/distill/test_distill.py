"""`rlpost distill` from a config to a student that `rankers` can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankers.backends.sentence import SentenceEmbedder
from rankers.datasets.load import load_collection
from rankers.errors import DataError, UserError
from rankers.files.trec import write_run
from rankers.types import Collection, ScoredDoc
from rlpost.cli.main import app
from rlpost.distill.config import load_distillation
from rlpost.distill.lists import ListTexts, TeacherLists, strangers
from rlpost.distill.run import by_labels, distill
from rlpost.models.loading import load_tokenizer
from tests.paths import REPO
from tests.small_beir import FACTS, small_beir
from tests.tiny_encoder import bi_encoder_dir

CONFIGS = REPO / "configs" / "distill"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    return small_beir(tmp_path / "beir")


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Knows the relevant document of every training query, and puts two others behind it."""
    ids = list(FACTS)
    run = {
        f"q-{doc}": [
            ScoredDoc(other, -float(rank))
            for rank, other in enumerate([doc, ids[i - 1], ids[i - 2]])
        ]
        for i, doc in enumerate(ids[:8])
    }
    write_run(tmp_path / "teacher.trec", run, tag="teacher")
    return tmp_path / "teacher.trec"


def settings(beir: Path, folder: Path, *more: str) -> list[str]:
    return [
        *(f"data.path={beir}", "data.first_stage=bm25s", f"output={folder / 'runs'}"),
        *("candidates=3", "passage_tokens=12", "query_tokens=12", "batch_size=4"),
        *more,
    ]


def losses(run: Path) -> list[float]:
    rows = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(row)["loss/student"] for row in rows]


@pytest.mark.parametrize("kind", ["first", "full"])
def test_the_shipped_model_learns_the_teachers_order(
    kind: str, beir: Path, teacher: Path, tmp_path: Path
) -> None:
    more = ("steps=12", "optimizer.learning_rate=1e-3", f"teacher={teacher}")
    run = distill(CONFIGS / f"{kind}.yaml", settings(beir, tmp_path, *more))
    found = losses(run)
    assert len(found) == 12
    assert found[-1] < 0.7 * found[0]
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    assert summary["num_queries"] == 4
    assert {"before", "after", "delta", "baselines"} <= summary.keys()
    assert summary["baselines"].keys() == {"first stage", "shuffled"}
    assert load_tokenizer(run / "model").chat_template


def test_a_bi_encoder_learns_by_adapters(beir: Path, teacher: Path, tmp_path: Path) -> None:
    model = bi_encoder_dir(tmp_path / "encoder", context=256)
    more = (f"model.path={model}", "steps=10", f"teacher={teacher}", "model.max_length=256")
    run = distill(CONFIGS / "e2rank.yaml", settings(beir, tmp_path, *more))
    found = losses(run)
    assert found[-1] < found[0]
    assert (run / "adapter" / "adapter_model.safetensors").is_file()
    before, after = (SentenceEmbedder(path).embed(["cat"]) for path in (model, run / "model"))
    assert abs(before - after).max() > 1e-3, "the adapters are merged into what is saved"
    more = (*more[:-1], "model.max_length=100")
    with pytest.raises((UserError, DataError), match=r"than 100|lower candidates"):
        distill(CONFIGS / "e2rank.yaml", settings(beir, tmp_path, *more))


def test_lists_are_the_teachers_best_in_another_order(beir: Path, tiny_model: Path) -> None:
    texts = ListTexts(
        collection=load_collection(beir, "train"),
        tokenizer=load_tokenizer(tiny_model),
        passage_tokens=30,
        query_tokens=30,
    )
    run = {
        "q-list": [ScoredDoc(doc, 0.0) for doc in ("maxi", "unknown", "list", "sums", "copy")],
        "q-dict": [ScoredDoc("dict", 0.0)],
    }
    lists = TeacherLists(texts=texts, run=run, length=3, seed=0)
    assert len(lists) == 1, "q-dict has fewer than three"
    shuffles = set()
    for problem in lists.batch(0, 12):
        assert problem.query == "sort a list in place"
        best = [problem.passages[i] for i in problem.order]
        assert best == [texts.passage(doc) for doc in ("maxi", "list", "sums")]
        shuffles.add(problem.ranks)
    assert len(shuffles) > 2
    assert lists.batch(3, 4) == lists.batch(0, 16)[12:]
    with pytest.raises(UserError, match="for none of the 8 training queries"):
        TeacherLists(texts=texts, run=run, length=5, seed=0)


def test_what_does_not_fit_of_a_teachers_run_is_counted(beir: Path) -> None:
    run = {"q-list": [ScoredDoc("list", 2.0), ScoredDoc("pre_dict", 1.0)], "elsewhere": []}
    assert strangers(run, load_collection(beir, "train"), "t.trec") == [
        "1 of 2 queries of t.trec, such as 'elsewhere', are no training queries: they are left out",
        "1 of 2 documents of t.trec, such as 'pre_dict', are not in the collection: they are left "
        "out",
    ]
    assert strangers({"q-list": run["q-list"][:1]}, load_collection(beir, "train"), "t") == []


def test_lists_may_be_shown_as_the_first_stage_has_them(beir: Path) -> None:
    texts = ListTexts(
        collection=load_collection(beir, "train"),
        tokenizer=load_tokenizer("tiny-ranker"),
        passage_tokens=30,
        query_tokens=30,
    )
    teacher = {"q-list": [ScoredDoc(doc, 0.0) for doc in ("maxi", "list", "sums")]}
    shown = {"q-list": [ScoredDoc(doc, 0.0) for doc in ("list", "copy", "maxi")]}
    lists = TeacherLists(texts=texts, run=teacher, length=3, seed=0, shown=shown)
    for problem in lists.batch(0, 4):
        assert problem.passages == tuple(texts.passage(doc) for doc in ("list", "maxi", "sums"))
        assert problem.ranks == (2, 1, 3)
    with pytest.raises(UserError, match="without a teacher is the solution itself"):
        load_distillation(CONFIGS / "first.yaml", ["input_order=first_stage", "teacher=null"])


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_distillation(CONFIGS / "first.yaml", ["steps=0", "model.lor.rank=3", "candidates=30"])
    message = str(error.value)
    assert "steps" in message
    assert "did you mean 'model.lora" in message
    with pytest.raises(UserError, match="'first' has 26 letters"):
        load_distillation(CONFIGS / "first.yaml", ["candidates=30"])


def test_the_command_teaches() -> None:
    shown = CliRunner().invoke(app, ["distill", "--help"])
    assert shown.exit_code == 0
    assert "FIRST" in shown.stdout


def test_the_collections_judgements_teach_what_the_first_stage_found() -> None:
    collection = Collection(name="toy", corpus={}, queries={}, qrels={"q": {"c": 2, "b": 1}})
    run = {"q": [ScoredDoc(doc, 0.0) for doc in "abcd"], "r": [ScoredDoc("a", 0.0)]}
    found = by_labels(collection, run)
    assert {q: "".join(doc.id for doc in docs) for q, docs in found.items()} == {
        "q": "cbad",
        "r": "a",
    }
