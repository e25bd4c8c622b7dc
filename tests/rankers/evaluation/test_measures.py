"""Our values against hand arithmetic, against golden ones, and against other evaluators."""

import importlib.util
import math
import re
import subprocess
import zipfile
from pathlib import Path

import ir_measures
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rankers.datasets.load import load_collection
from rankers.errors import DataError
from rankers.evaluation.measures import evaluate, ndcg
from rankers.files.trec import read_run, write_qrels, write_run
from rankers.types import ScoredDoc
from tests.paths import SHARED, needs_shared
from tests.rankers.golden import golden

DOCS = [f"d{i}" for i in range(12)]
SCORES = st.sampled_from([0.0, 1.0, 1.00000001, 2.0, 16777216.0, 16777217.0, -1.0])
RUN = st.lists(st.sampled_from(DOCS), unique=True, min_size=1).flatmap(
    lambda ids: st.lists(SCORES, min_size=len(ids), max_size=len(ids)).map(
        lambda scores: [ScoredDoc(i, s) for i, s in zip(ids, scores, strict=True)]
    )
)
GAINS = st.dictionaries(st.sampled_from(DOCS), st.integers(-1, 3), min_size=1)


def write_raw(path: Path, run: dict[str, dict[str, float]]) -> None:
    lines = [f"{q} Q0 {d} 0 {s!r} t\n" for q, docs in run.items() for d, s in docs.items()]
    path.write_text("".join(lines))


def test_ndcg_by_hand() -> None:
    gains = [0, 2, 1]
    ideal = 2 + 1 / math.log2(3)
    assert ndcg((1, 2, 0), gains) == pytest.approx(1.0)
    assert ndcg((0, 1, 2), gains) == pytest.approx((2 / math.log2(3) + 1 / 2) / ideal)
    assert ndcg((0, 1, 2), gains, k=1) == 0.0
    assert ndcg((1, 2, 0), gains, ideal=[2, 2, 1, 0]) == pytest.approx(
        ideal / (2 + 2 / math.log2(3) + 1 / 2)
    )


def test_ndcg_without_anything_relevant_is_0() -> None:
    assert ndcg((0, 1), [0, -1]) == 0.0
    assert ndcg((), []) == 0.0


@given(st.permutations(DOCS), GAINS, st.integers(1, 12))
def test_ndcg_with_the_full_ideal_is_ir_measures_ndcg(
    docs: list[str], gains: dict[str, int], k: int
) -> None:
    run = {"q": [ScoredDoc(doc, 0.0) for doc in docs]}
    value = ndcg(
        range(len(docs)), [gains.get(doc, 0) for doc in docs], k=k, ideal=list(gains.values())
    )
    expected = evaluate(run, {"q": gains}, [f"nDCG@{k}"]).per_query[f"nDCG@{k}"]["q"]
    assert value == pytest.approx(expected, abs=1e-9)


def test_golden_example_with_a_missing_query(tmp_path: Path) -> None:
    case = golden("evaluation_basic")
    write_raw(tmp_path / "run", case["run"])
    means = case["ir_measures_aggregate"]
    found = evaluate(read_run(tmp_path / "run"), case["qrels"], list(means))
    assert found.mean == pytest.approx(means, abs=1e-9)
    for name, values in case["ir_measures_per_query"].items():
        assert found.per_query[name] == pytest.approx(values, abs=1e-9)


def test_golden_ties_are_broken_as_trec_eval_does_for_every_measure(tmp_path: Path) -> None:
    for case in golden("evaluation_ties")["cases"]:
        write_raw(tmp_path / "run", case["run"])
        found = evaluate(read_run(tmp_path / "run"), case["qrels"], ["RR", "RR@10", "nDCG@10"])
        assert found.mean["RR"] == found.mean["RR@10"] == pytest.approx(case["recip_rank"])
        assert found.mean["nDCG@10"] == pytest.approx(case["ndcg_cut_10"])


def test_golden_negative_relevance(tmp_path: Path) -> None:
    case = golden("evaluation_negative_rel")
    write_raw(tmp_path / "run", {"q": case["run"]})
    found = evaluate(read_run(tmp_path / "run"), {"q": case["qrels"]}, ["nDCG@10", "AP"])
    assert found.mean == pytest.approx({"nDCG@10": case["ndcg_cut_10"], "AP": case["map"]})


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from("abc"), RUN, min_size=1), GAINS)
def test_a_written_run_means_the_same_to_every_evaluator(
    tmp_path_factory: pytest.TempPathFactory,
    run: dict[str, list[ScoredDoc]],
    gains: dict[str, int],
) -> None:
    path = tmp_path_factory.mktemp("runs") / "a.trec"
    write_run(path, run, tag="t")
    qrels = {"a": gains, "b": {"d0": 1}, "c": {"d1": 2, "d2": 1}}
    ours = evaluate(run, qrels, ["nDCG@10", "AP", "RR@10"])
    assert evaluate(read_run(path), qrels, ["nDCG@10", "AP", "RR@10"]) == ours

    theirs = ir_measures.calc_aggregate(
        [ir_measures.nDCG @ 10, ir_measures.AP, ir_measures.RR @ 10],
        qrels,
        ir_measures.read_trec_run(str(path)),
    )
    assert {str(m): v for m, v in theirs.items()} == pytest.approx(dict(ours.mean), abs=1e-9)

    pytrec_eval = pytest.importorskip("pytrec_eval")
    scores = {q: dict(docs) for q, docs in read_run(path).items()}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "map", "recip_rank"})
    for query_id, values in evaluator.evaluate(scores).items():
        assert ours.per_query["nDCG@10"][query_id] == pytest.approx(values["ndcg_cut_10"])
        assert ours.per_query["AP"][query_id] == pytest.approx(values["map"])
        # trec_eval cannot cut the reciprocal rank, but no list here is longer than 12.
        if values["recip_rank"] >= 0.1:
            assert ours.per_query["RR@10"][query_id] == pytest.approx(values["recip_rank"])


def trec_eval_binary(folder: Path) -> Path:
    """The trec_eval that Pyserini carries, taken out of its jar."""
    pyserini = importlib.util.find_spec("pyserini")
    if pyserini is None or not pyserini.submodule_search_locations:
        pytest.skip("Pyserini is not installed")
    [jar] = Path(pyserini.submodule_search_locations[0]).glob("resources/jars/anserini-*.jar")
    with zipfile.ZipFile(jar) as archive:
        binary = Path(archive.extract("trec_eval/trec_eval-linux-amd64", folder))
    binary.chmod(0o755)
    return binary


TREC_EVAL = {  # its name, ours
    "ndcg_cut_10": "nDCG@10",
    "ndcg": "nDCG",
    "map": "AP",
    "map_cut_10": "AP@10",
    "recip_rank": "RR",
    "recall_10": "R@10",
    "P_5": "P@5",
    "success_5": "Success@5",
    "Rprec": "Rprec",
    "bpref": "Bpref",
    "infAP": "infAP",
}


@settings(max_examples=8, derandomize=True, phases=[Phase.generate])
@given(st.lists(st.tuples(RUN, GAINS), min_size=20, max_size=40))
def test_trec_eval_finds_the_same_in_a_raw_run_with_ties(
    tmp_path_factory: pytest.TempPathFactory,
    problems: list[tuple[list[ScoredDoc], dict[str, int]]],
) -> None:
    folder = tmp_path_factory.mktemp("trec-eval")
    path, qrels_path = folder / "run.trec", folder / "qrels"
    # trec_eval stops at a query whose judgements are all negative: hence one of 0 each.
    qrels = {f"q{i}": {"other": 0} | gains for i, (_, gains) in enumerate(problems)}
    qrels["lacking"] = {"d0": 1}
    write_raw(path, {f"q{i}": dict(docs) for i, (docs, _) in enumerate(problems)})
    write_qrels(qrels_path, qrels)
    options = [word for name in TREC_EVAL for word in ("-m", name.replace("_cut_", "_cut."))]
    options = [re.sub(r"^(recall|P|success)_", r"\1.", word) for word in options]
    printed = subprocess.check_output(
        [trec_eval_binary(folder), "-c", "-q", *options, qrels_path, path], text=True
    )
    ours = evaluate(read_run(path), qrels, list(TREC_EVAL.values()))
    rows = [line.split() for line in printed.splitlines()]
    for name, query_id, value in rows:
        values = dict(ours.per_query[TREC_EVAL[name]]) | {"all": ours.mean[TREC_EVAL[name]]}
        assert values[query_id] == pytest.approx(float(value), abs=5.1e-5)  # it prints 4 decimals
    assert len(rows) == (len(qrels) + 1) * len(TREC_EVAL) - len(TREC_EVAL)

    pytrec_eval = pytest.importorskip("pytrec_eval")  # the same code, with all decimals
    raw = {f"q{i}": dict(docs) for i, (docs, _) in enumerate(problems)}
    for query_id, found in (
        pytrec_eval.RelevanceEvaluator(qrels, set(TREC_EVAL)).evaluate(raw).items()
    ):
        mine = {name: ours.per_query[TREC_EVAL[name]][query_id] for name in TREC_EVAL}
        assert found == pytest.approx(mine, abs=1e-6)


@needs_shared
@pytest.mark.parametrize(
    ("pool", "run", "published"),
    [
        ("trec_dl19", "BM25", 0.5058),
        ("trec_dl20", "BM25", 0.4796),
        ("trec_dl19", "SPLADE_P_P_ENSEMBLE_DISTIL", 0.7308),
        ("trec_dl20", "SPLADE_P_P_ENSEMBLE_DISTIL", 0.7197),
    ],
)
def test_published_figures_of_given_runs(pool: str, run: str, published: float) -> None:
    folder = SHARED / "data" / pool
    qrels = load_collection(folder).qrels
    found = evaluate(read_run(folder / "runs" / f"{run}.trec"), qrels)
    assert found.mean["nDCG@10"] == pytest.approx(published, abs=5e-5)


def test_queries_that_were_not_judged_do_not_count() -> None:
    run = {"q": [ScoredDoc("a", 1.0)], "other": [ScoredDoc("a", 1.0)]}
    assert evaluate(run, {"q": {"a": 1}, "missing": {"a": 1}}).mean["nDCG@10"] == 0.5


NEGATIVE = {
    "q1": ({"a": 2.0, "b": 1.0}, {"a": 0, "b": 2}),
    "q2": ({"a": 2.0, "b": 1.0}, {"a": -2}),
    "q3": ({"a": 2.0, "b": 1.0}, {"b": -1, "c": -(10**12)}),
    "q4": ({"a": 2.0, "b": 1.0}, {"a": -1, "b": 1, "c": 0}),
    "q5": ({"a": 2.0}, {}),
}
"""Query -> scores and grades."""


def test_negative_grades_are_not_relevant_and_harm_no_other_query() -> None:
    """Reading outside its tables, trec_eval ends the process: so each order is tried."""
    names = ["nDCG@10", "nDCG", "AP", "P@1", "R@10", "Rprec", "RR", "Bpref", "infAP", "Success@1"]
    names += ["RR@10", "SetP", "Compat", "IPrec@0.1", "AP(judged_only=True)"]
    for order in (list(NEGATIVE), list(NEGATIVE)[::-1]):
        run = {q: [ScoredDoc(*doc) for doc in NEGATIVE[q][0].items()] for q in order}
        found = evaluate(run, {q: NEGATIVE[q][1] for q in order}, names)
        for name in names:
            values = found.per_query[name]
            assert values["q2"] == values["q3"] == values["q5"] == 0, name
        assert found.per_query["nDCG@10"]["q4"] == pytest.approx(1 / math.log2(3))
        assert found.per_query["AP"]["q1"] == found.per_query["AP"]["q4"] == 0.5
        # In the pool but not judged: bpref and infAP alone tell that from not relevant.
        assert found.per_query["Bpref"] == pytest.approx(dict.fromkeys(order, 0) | {"q4": 1})
        assert found.per_query["infAP"]["q4"] == pytest.approx(0.75, abs=1e-4)


def test_grades_of_any_size_are_measured_or_refused() -> None:
    run = {"q": [ScoredDoc("a", 2.0), ScoredDoc("b", 1.0)]}
    assert evaluate(run, {"q": {"b": 99_999}}, ["nDCG@10"]).mean["nDCG@10"] == pytest.approx(
        1 / math.log2(3)
    )
    with pytest.raises(DataError, match=r"query 'q': the grade of 'b' is 2147483648, .* 100000"):
        evaluate(run, {"q": {"a": 0, "b": 2**31}})


def test_what_cannot_be_evaluated_is_refused() -> None:
    run = {"q": [ScoredDoc("a", 1.0)]}
    with pytest.raises(DataError, match="unknown measure 'nDGC@10'"):
        evaluate(run, {"q": {"a": 1}}, ["nDGC@10"])
    with pytest.raises(DataError, match="share no query"):
        evaluate(run, {"p": {"a": 1}})
    with pytest.raises(DataError, match="lists a document twice"):
        evaluate({"q": [ScoredDoc("a", 1.0), ScoredDoc("a", 0.5)]}, {"q": {"a": 1}})
    for score in (math.nan, math.inf, 1e39):
        with pytest.raises(DataError, match="finite"):
            evaluate({"q": [ScoredDoc("a", score)]}, {"q": {"a": 1}})


def test_lists_without_a_judged_document_count_0() -> None:
    run = {"q": [ScoredDoc("x", 1.0)], "empty": []}
    found = evaluate(run, {"q": {"a": 1}, "empty": {"a": 1}}, ["nDCG@10", "Judged@10", "RR@10"])
    assert set(found.mean.values()) == {0}
