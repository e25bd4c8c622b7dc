"""What a run says of itself at the end: before, after, and against rankings that need no model."""

import pytest

from rankers.types import ScoredDoc
from rlpost.tasks.base import HeldOut
from rlpost.tasks.held_out import compared


def run(*first_docs: str) -> dict[str, list[ScoredDoc]]:
    """One document for each of the queries q0, q1, ..."""
    return {f"q{i}": [ScoredDoc(doc, 1.0)] for i, doc in enumerate(first_docs)}


def test_the_trained_model_is_paired_with_each_other_ranking() -> None:
    held_out = HeldOut(
        prompts=(),
        rank=lambda prompt, completion: [],
        qrels={f"q{i}": {"good": 1} for i in range(4)},
        baselines={"popular": run("good", "bad", "bad", "good")},
        name="test",
    )
    found = compared(
        before=run("bad", "bad", "bad", "bad"),
        after=run("good", "good", "good", "bad"),
        held_out=held_out,
        measures=["RR@1"],
        resamples=200,
        seed=0,
    )
    assert (found.before["RR@1"], found.after["RR@1"]) == (0.0, 0.75)
    assert found.baselines == {"popular": {"RR@1": 0.5}}
    assert found.delta["RR@1"].mean == 0.75
    assert found.delta["RR@1"].ci95[0] > 0
    margin = found.margins["popular"]["RR@1"]
    assert margin.mean == pytest.approx(0.25)
    assert margin.ci95[0] < 0 < margin.ci95[1]
