"""Scores of every kind become relevances between 0 and 1 in the same order."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.errors import ScoreError
from rankers.reranker.reranker import ScoreKind
from rankers.serve.http.relevance import RELEVANCE, relevance
from rankers.types import Ranking

RANGES: dict[ScoreKind, tuple[float, float]] = {
    "log_odds": (-800, 800),
    "probability": (0, 1),
    "log_likelihood": (-800, 0),
    "cosine": (-1, 1),
    "logit": (-800, 800),
}


def ranking(*scores: float, n: int = 0) -> Ranking:
    return Ranking(order=tuple(range(n or len(scores))), scores=scores)


@pytest.mark.parametrize(
    ("kind", "scores", "expected"),
    [
        ("rank", (4, 3, 2, 1), (1, 0.75, 0.5, 0.25)),
        ("wins", (2, 0.5, 0.5), (1, 0.25, 0.25)),
        ("wins", (0,), (1,)),
        ("log_odds", (0, math.log(1 / 3)), (0.5, 0.25)),
        ("probability", (0.9, 0.1), (0.9, 0.1)),
        ("log_likelihood", (0, math.log(0.5)), (1, 0.5)),
        ("cosine", (1, 0, -1), (1, 0.5, 0)),
        ("logit", (math.log(3), 0), (0.75, 0.5)),
    ],
)
def test_by_hand(kind: ScoreKind, scores: list[float], expected: tuple[float, ...]) -> None:
    assert relevance(ranking(*scores), kind) == pytest.approx(expected)


def test_every_kind_has_a_conversion() -> None:
    assert set(RELEVANCE) == set(get_args(ScoreKind))


@given(st.data(), st.sampled_from(sorted(RANGES)))
def test_between_0_and_1_and_never_rising(data: st.DataObject, kind: ScoreKind) -> None:
    numbers = st.floats(*RANGES[kind], allow_nan=False)
    scores = sorted(data.draw(st.lists(numbers, min_size=1)), reverse=True)
    found = relevance(ranking(*scores), kind)
    assert all(0 <= value <= 1 for value in found)
    assert list(found) == sorted(found, reverse=True)


def test_a_ranking_without_scores_has_places() -> None:
    assert relevance(ranking(n=2), "logit") == (1.0, 0.5)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_an_error(broken: float) -> None:
    with pytest.raises(ScoreError, match=str(broken)):
        relevance(ranking(1.0, broken), "logit")
