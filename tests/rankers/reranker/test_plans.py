"""Scheduling: plans run together as they run alone, and every plan permutes whatever it is told."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.methods.iranker import elimination_plan
from rankers.methods.listwise import sliding_window_plan
from rankers.methods.pairwise import all_pairs, pairwise_heapsort, pairwise_sliding
from rankers.methods.setwise import setwise_bubblesort, setwise_heapsort
from rankers.reranker.plans import Choice, Order, RankingPlan, ShownIds, shuffled
from tests.rankers.oracle import Oracle, run_alone

CHOICES: dict[str, Callable[[int, int], RankingPlan[Choice]]] = {
    "setwise heapsort": lambda n, k: setwise_heapsort(n, k=k),
    "setwise bubblesort": lambda n, k: setwise_bubblesort(n, k=k),
    "pairwise heapsort": lambda n, k: pairwise_heapsort(n, k=k),
    "pairwise sliding": lambda n, k: pairwise_sliding(n, k=k),
    "all pairs": lambda n, k: all_pairs(n),
    "elimination": lambda n, k: elimination_plan(n),
    "shuffled setwise": lambda n, k: shuffled(setwise_heapsort(n, k=k), key="s", votes=3),
}


@pytest.mark.parametrize("name", CHOICES)
@given(n=st.integers(0, 25), k=st.integers(1, 30), seed=st.integers(0))
def test_any_answers_at_all_give_a_permutation(name: str, n: int, k: int, seed: int) -> None:
    rng = random.Random(seed)
    answers = [None, *range(-2, 30)]
    order = run_alone(CHOICES[name](n, k), lambda ask: rng.choice(answers))
    assert sorted(order) == list(range(n))


@pytest.mark.parametrize("name", [name for name in CHOICES if name != "elimination"])
@given(relevance=st.lists(st.integers(0, 99), unique=True, max_size=25), k=st.integers(1, 30))
def test_an_oracle_brings_the_best_to_the_top(name: str, relevance: list[int], k: int) -> None:
    n = len(relevance)
    order = run_alone(CHOICES[name](n, k), Oracle(relevance=relevance).best)
    best = sorted(range(n), key=lambda i: -relevance[i])
    assert list(order[:k]) == best[:k]
    if name != "all pairs":
        assert list(order[k:]) == sorted(order[k:])


@pytest.mark.parametrize("name", CHOICES)
def test_nothing_and_a_single_candidate_cost_no_question(name: str) -> None:
    for n in (0, 1):
        oracle = Oracle(relevance=[0.0] * n)
        assert run_alone(CHOICES[name](n, 10), oracle.best) == tuple(range(n))
        assert oracle.asked == []


def test_shuffles_belong_to_the_key_and_votes_outvote() -> None:
    oracle, again, other = (Oracle(relevance=list(range(8))) for _ in range(3))
    for judge, key in ((oracle, "7/q1"), (again, "7/q1"), (other, "7/q2")):
        run_alone(shuffled(setwise_heapsort(8, k=3), key=key, votes=3), judge.best)
    assert oracle.asked == again.asked != other.asked

    truth = Oracle(relevance=[0, 3, 1, 2])
    asked = 0

    def two_of_three(ask: ShownIds) -> Choice:
        nonlocal asked
        asked += 1
        return None if asked % 3 == 0 else truth.best(ask)

    assert run_alone(shuffled(setwise_heapsort(4, k=2), key="s", votes=3), two_of_three)[0] == 1


@given(n=st.integers(0, 200), window=st.integers(1, 25), step=st.integers(1, 25))
def test_listwise_permutes(n: int, window: int, step: int) -> None:
    rng = random.Random(n)

    def answer(ask: ShownIds) -> Order:
        return tuple(rng.sample(range(len(ask)), len(ask)))

    plan = sliding_window_plan(n, window=window, step=min(step, window))
    assert sorted(run_alone(plan, answer)) == list(range(n))


def test_an_order_that_loses_a_candidate_is_an_error() -> None:
    with pytest.raises(ValueError, match="no permutation"):
        run_alone(sliding_window_plan(3), lambda ask: (0, 0, 1))


def test_elimination_removes_the_worst_first() -> None:
    oracle = Oracle(relevance=[2, 0, 3, 1])
    assert run_alone(elimination_plan(4), oracle.worst) == (2, 0, 3, 1)
    assert len(oracle.asked) == 3
