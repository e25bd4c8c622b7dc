"""Mean ranks and Kemeny's order by hand, and against trying every order."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.evaluation import consensus
from rankers.evaluation.consensus import borda, kemeny

SYSTEMS = "abcd"
VOTES = st.dictionaries(
    st.sampled_from("vwxyz"),
    st.fixed_dictionaries({system: st.integers(0, 3).map(float) for system in SYSTEMS}),
    min_size=1,
)


def test_borda_shares_the_places_of_ties() -> None:
    ranks = borda({"v": {"a": 0.9, "b": 0.5, "c": 0.5}, "w": {"a": 1.0, "b": 3.0, "c": 2.0}})
    assert ranks == {"b": 1.75, "a": 2.0, "c": 2.25}


def test_a_mean_is_swayed_by_one_collection_and_kemeny_is_not() -> None:
    scores = {
        "v": {"a": 0.41, "b": 0.40},
        "w": {"a": 0.31, "b": 0.30},
        "x": {"a": 0.10, "b": 0.90},
    }
    assert kemeny(scores) == (("a", "b"), 1.0, True)


def test_condorcets_winner_comes_first_though_borda_puts_it_second() -> None:
    votes = [("a", "b", "c", "d")] * 3 + [("b", "c", "d", "a")] * 2
    scores = {str(i): {s: -float(vote.index(s)) for s in vote} for i, vote in enumerate(votes)}
    assert next(iter(borda(scores))) == "b"
    assert kemeny(scores).order == ("a", "b", "c", "d")


def disagreements(order: tuple[str, ...], scores: dict[str, dict[str, float]]) -> float:
    pairs = [(votes[a], votes[b]) for votes in scores.values() for a, b in combinations(order, 2)]
    return sum(1.0 if b > a else 0.5 if a == b else 0.0 for a, b in pairs)


@given(VOTES)
def test_no_order_has_fewer_disagreements(scores: dict[str, dict[str, float]]) -> None:
    found = kemeny(scores)
    costs = {order: disagreements(order, scores) for order in permutations(SYSTEMS)}
    assert found.exact
    assert found.disagreements == costs[found.order] == min(costs.values())


@given(VOTES)
def test_with_many_systems_no_single_move_helps(scores: dict[str, dict[str, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consensus, "EXACT_UP_TO", 2)
        found = kemeny(scores)
    assert not found.exact
    assert found.disagreements == disagreements(found.order, scores)
    assert found.disagreements <= disagreements(tuple(borda(scores)), scores)


def test_voters_must_score_the_same_systems() -> None:
    with pytest.raises(ValueError, match="same systems"):
        kemeny({"v": {"a": 1.0}, "w": {"b": 1.0}})
    with pytest.raises(ValueError, match="same systems"):
        borda({})
