"""Names of measures: what can be computed is, everything else is refused before it is tried."""

import subprocess
import sys

import ir_measures
import pytest

from rankers.errors import DataError
from rankers.evaluation.measure_names import computable, split_names
from rankers.evaluation.measures import evaluate
from rankers.types import ScoredDoc

RUN = {
    "q1": [ScoredDoc("d1", 2.0), ScoredDoc("d2", 1.0)],
    "a title": [ScoredDoc("d 1", 2.0), ScoredDoc("d3", 1.0), ScoredDoc("d4", 0.5)],
    "q3": [ScoredDoc("d9", 2.0)],
}
QRELS = {"q1": {"d1": 0, "d2": 2}, "a title": {"d 1": -2, "d3": 1, "d4": 3}, "q3": {"d1": -1}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("R", "needs a cutoff, such as R@10"),
        ("RBP", "needs a rel, such as RBP(rel=1)"),
        ("RBP(p=2.0,rel=1)", "p must be from 0.01 to 0.9999, got 2.0"),
        ("BPM@10", r"needs a max_rel, such as BPM(max_rel=3)@10"),
        ("alpha_nDCG@10", "needs judgements by subtopic"),
        ("ERR", "needs a cutoff, such as ERR@10"),
        ("nDCG(dcg='exp-log2')", "dcg must be 'log2', got 'exp-log2'"),
        ("nDCG@0", "cutoff must be from 1 to 2147483647, got 0"),
        ("Judged@0", "cutoff must be from 1"),
        ("P@99999999999999999999", "cutoff must be from 1 to 2147483647"),
        ("P@1.5", "cutoff must be a whole number, got 1.5"),
        ("P@True", "cutoff must be a whole number, got True"),
        ("AP(rel=0)", "rel must be from 1"),
        ("NumRel(rel=2)", "rel must be 1, got 2"),
        ("IPrec@2", "recall must be from 0 to 1, got 2"),
        ("IPrec@0.123", "two decimals"),
        ("SetF(beta=0)", "beta must be from 0.01 to 100, got 0"),
        ("nDCG(gains={1:1.5})@10", "gains must be whole numbers"),
        ("nDCG(gains={1:9999999999})@10", "gains must be whole numbers"),
        ("P(foo=1)@3", "has no parameter 'foo': it takes cutoff, rel, judged_only"),
        ("ndcg@10", "did you mean nDCG@10?"),
        ("map", "did you mean AP?"),
        ("f" * 99 + "(" * 5000, "unknown measure"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        evaluate(RUN, QRELS, [name])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(DataError, match=r"'R' needs.*; .*'nDCG@0': cutoff"):
        computable(["R", "AP", "nDCG@0"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ir_measures.cwl_eval, "_is_available", False)
    with pytest.raises(DataError, match=r"pip install ir-measures\[cwl_eval\]"):
        computable(["RBP(rel=1)"])


def test_every_measure_is_computed_or_refused_and_none_ends_the_process() -> None:
    """In a process of its own: what this guards against are aborts and segmentation faults."""
    program = """
import ir_measures
from rankers.errors import DataError
from rankers.evaluation.measures import evaluate
from tests.rankers.evaluation.test_measure_names import QRELS, RUN

computed = 0
for name in ir_measures.measures.registry:
    for at in ("", "@0", "@1", "@10", "@0.5", "@2147483647"):
        for options in ("", "(rel=1)", "(rel=3)", "(rel=0)", "(judged_only=True)", "(max_rel=3)"):
            try:
                found = evaluate(RUN, QRELS, [f"{name}{options}{at}"])
            except DataError:
                continue
            [values] = found.per_query.values()
            assert list(values) == list(QRELS), name
            computed += 1
print(computed)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) > 100


def test_gains_that_are_not_exponential_and_titles_as_ids() -> None:
    """ERR and the exponential nDCG come from a program that reads numbers as ids only."""
    found = evaluate(RUN, QRELS, ["ERR@10", "nDCG(dcg='exp-log2')@10"])
    # By hand: R(g) = (2^g - 1) / 16; ERR = sum of R / rank times what goes on.
    first = (3 / 16) / 2
    second = (1 / 16) / 2 + (15 / 16) * (7 / 16) / 3
    assert found.per_query["ERR@10"] == pytest.approx(
        {"q1": first, "a title": second, "q3": 0}, abs=1e-5
    )
    with pytest.raises(DataError, match="grades up to 4, the judgements go to 5"):
        evaluate({"q": [ScoredDoc("d", 1.0)]}, {"q": {"d": 5}}, ["ERR@10"])


def test_measures_do_not_change_one_another() -> None:
    names = ["nDCG(gains={1:5})@10", "nDCG@10", "NDCG@10", "R@2", "Recall@2", "P@1", "AP(rel=2)"]
    together = evaluate(RUN, QRELS, names).per_query
    assert together == {name: evaluate(RUN, QRELS, [name]).per_query[name] for name in names}
    assert together["R@2"] == together["Recall@2"] == {"q1": 1.0, "a title": 0.5, "q3": 0.0}
    assert together["nDCG(gains={1:5})@10"] != together["nDCG@10"]


def test_names_are_split_outside_brackets() -> None:
    text = "nDCG@10 AP(rel=2),R@5  nDCG(gains={0: 1, 1: 5})@3"
    assert split_names(text) == ["nDCG@10", "AP(rel=2)", "R@5", "nDCG(gains={0: 1, 1: 5})@3"]
