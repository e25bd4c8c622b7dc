"""Where answers decide nothing, the order of the first stage stands, whatever the sort."""

import random
from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.methods.pairwise import all_pairs, pairwise_heapsort, pairwise_sliding
from rankers.methods.setwise import setwise_bubblesort, setwise_heapsort
from rankers.prompting.templates import ChatMessage
from rankers.reranker.judges import most_probable
from rankers.reranker.plans import Pick, RankingPlan, ShownIds, settled, shuffled
from rankers.reranker.protocols import LabelScores, Likelihood, TextCompletion
from tests.rankers.oracle import run_alone
from tests.rankers.reader import METHODS, WRITTEN, problem

PAIRWISE: dict[str, Callable[[int, int], RankingPlan[Pick]]] = {
    "heapsort": lambda n, k: pairwise_heapsort(n, k=k),
    "sliding": lambda n, k: pairwise_sliding(n, k=k),
    "all pairs": lambda n, k: all_pairs(n),
}
SETWISE: dict[str, Callable[[int, int, int], RankingPlan[Pick]]] = {
    "heapsort": lambda n, k, c: setwise_heapsort(n, k=k, num_children=c),
    "bubblesort": lambda n, k, c: setwise_bubblesort(n, k=k, num_children=c),
    "shuffled": lambda n, k, c: shuffled(
        setwise_heapsort(n, k=k, num_children=c), key="s", votes=3
    ),
}
SIZES = st.integers(0, 25)
DEPTHS = st.integers(1, 30)


def duel(order: Callable[[int, int], int]) -> Callable[[ShownIds], Pick]:
    """A model that prefers by the sign of ``order``, and says "Passage A" where that is 0."""
    return lambda ask: 1 if order(*ask) < 0 else 0


def by_class(classes: Sequence[int]) -> list[int]:
    return sorted(range(len(classes)), key=lambda i: -classes[i])


@pytest.mark.parametrize("answer", [0, 1, None, 7, (0, 1)])
@pytest.mark.parametrize("name", PAIRWISE)
@given(n=SIZES, k=DEPTHS)
def test_duels_that_nobody_wins_keep_the_order(name: str, answer: Pick, n: int, k: int) -> None:
    assert run_alone(PAIRWISE[name](n, k), lambda ask: answer) == tuple(range(n))


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("name", PAIRWISE)
@given(n=SIZES, k=DEPTHS)
def test_an_answer_in_one_of_two_orders_is_none(name: str, forward: bool, n: int, k: int) -> None:
    order = run_alone(PAIRWISE[name](n, k), lambda ask: 1 if (ask[0] < ask[1]) == forward else None)
    assert order == tuple(range(n))


@pytest.mark.parametrize("answer", [None, -1, 99, tuple(range(21))])
@pytest.mark.parametrize("name", SETWISE)
@given(n=SIZES, k=DEPTHS, children=st.integers(1, 20))
def test_questions_without_an_answer_keep_the_order(
    name: str, answer: Pick, n: int, k: int, children: int
) -> None:
    assert run_alone(SETWISE[name](n, k, children), lambda ask: answer) == tuple(range(n))


@pytest.mark.parametrize("name", PAIRWISE)
@given(classes=st.lists(st.integers(0, 3), max_size=30), k=DEPTHS)
def test_equals_keep_their_order_among_wins(name: str, classes: list[int], k: int) -> None:
    n = len(classes)
    order = run_alone(PAIRWISE[name](n, k), duel(lambda a, b: classes[a] - classes[b]))
    best = by_class(classes)
    top = n if name == "all pairs" else k
    assert list(order[:top]) == best[:top]
    assert list(order[top:]) == sorted(order[top:])


@pytest.mark.parametrize("name", SETWISE)
@given(classes=st.lists(st.integers(0, 3), max_size=30), k=DEPTHS, children=st.integers(1, 20))
def test_equals_keep_their_order_among_picks(
    name: str, classes: list[int], k: int, children: int
) -> None:
    def best(ask: ShownIds) -> Pick:
        most = max(classes[i] for i in ask)
        return tuple(place for place, i in enumerate(ask) if classes[i] == most)

    order = run_alone(SETWISE[name](len(classes), k, children), best)
    assert list(order[:k]) == by_class(classes)[:k]
    assert list(order[k:]) == sorted(order[k:])


@pytest.mark.parametrize("released", [False, True])
def test_upstream_turns_an_undecided_list_round(released: bool) -> None:
    variant = "released" if released else "paper"
    right = tuple(range(12))
    turned = (0, *range(11, 3, -1), 1, 2)
    plan = pairwise_heapsort(12, k=12, variant=variant)  # type: ignore[arg-type]
    order = run_alone(plan, lambda ask: 0)
    assert order[:9] == (turned[:9] if released else right[:9])
    plan = setwise_heapsort(12, k=12, variant=variant)  # type: ignore[arg-type]
    assert (run_alone(plan, lambda ask: None) == right) == (not released)


def lost(order: Sequence[int], rank: Sequence[int]) -> int:
    """Pairs that ``order`` has the wrong way round."""
    return sum(rank[a] > rank[b] for a, b in combinations(order, 2))


@pytest.mark.parametrize("method", ["pairwise", "setwise", "setwise bubblesort"])
def test_a_third_of_the_calls_failing_costs_less_than_ranking_gains(method: str) -> None:
    rng = random.Random(5)
    plans: dict[str, Callable[[int], RankingPlan[Pick]]] = {
        "pairwise": lambda n: pairwise_heapsort(n, k=n),
        "setwise": lambda n: setwise_heapsort(n, k=n),
        "setwise bubblesort": lambda n: setwise_bubblesort(n, k=n),
    }
    total = dict.fromkeys(("near", "ranked", "initial"), 0)
    for _ in range(60):
        near = list(range(20))
        for _ in range(12):  # the truth: the first stage with some neighbours exchanged
            i = rng.randrange(19)
            near[i], near[i + 1] = near[i + 1], near[i]
        far = rng.sample(range(20), 20)
        for rank, name in ((near, "near"), (far, "ranked")):

            def unsure(ask: ShownIds, rank: list[int] = rank) -> Pick:
                if rng.random() < 0.3:
                    return None
                return min(range(len(ask)), key=lambda place: rank[ask[place]])

            total[name] += lost(run_alone(plans[method](20), unsure), rank)
        total["initial"] += lost(range(20), far)
    pairs = 60 * 190
    assert total["near"] < 0.12 * pairs
    assert total["ranked"] < 0.7 * total["initial"]


def test_what_a_pick_settles() -> None:
    ask = (7, 2, 5)
    assert settled(0, ask) == 0
    assert settled((0, 2), ask) == 2
    assert settled(None, ask) == settled(3, ask) == 1
    assert settled(None, ask, variant="released") == settled((0, 2), ask, variant="released") == 0


def test_votes_that_are_even_are_a_tie() -> None:
    votes = iter([0, 1] * 20)
    shown: list[ShownIds] = []

    def split(ask: ShownIds) -> Pick:
        shown.append(ask)
        return ask.index(next(votes))  # candidates 0 and 1 get one vote each

    assert run_alone(shuffled(setwise_heapsort(2, k=2), key="s", votes=2), split) == (0, 1)


class Undecided:
    """A model that writes the same whatever it is shown and finds all labels equally probable."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion]:
        return [TextCompletion(text=self.text, prompt_tokens=1, generated_tokens=1) for _ in chats]

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores]:
        return [LabelScores(logprobs=(-1.5,) * len(labels), prompt_tokens=1) for _ in chats]

    def likelihoods(
        self, chats: Sequence[Sequence[ChatMessage]], *, answers: Sequence[str]
    ) -> list[Likelihood]:
        return [Likelihood(logprobs_T=(-1.5,), prompt_tokens=1) for _ in chats]


@pytest.mark.parametrize("name", METHODS)
def test_no_method_reorders_where_the_model_says_nothing(name: str) -> None:
    order = METHODS[name](Undecided()).rank(*problem(3, 25)).order
    assert order == tuple(range(25))


@pytest.mark.parametrize("text", ["Passage A", "Passage B"])
@pytest.mark.parametrize("name", [name for name in WRITTEN if "pair" in name])
def test_a_place_that_always_wins_reorders_nothing(name: str, text: str) -> None:
    assert METHODS[name](Undecided(text)).rank(*problem(3, 25)).order == tuple(range(25))


def test_equal_log_probabilities_are_a_tie_and_a_bound_is_less() -> None:
    assert most_probable([-2.0, -1.0, -3.0]) == 1
    assert most_probable([-1.0, -2.0, -1.0]) == (0, 2)

    class Listed(Undecided):
        def label_logprobs(
            self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
        ) -> list[LabelScores]:
            # Only the last label is listed; of the others it is known that they are not above it.
            bounded = (*[True] * (len(labels) - 1), False)
            return [
                LabelScores(logprobs=(-4.0,) * len(labels), prompt_tokens=1, bounded=bounded)
                for _ in chats
            ]

    ranking = METHODS["setwise likelihood"](Listed()).rank(*problem(1, 4))
    assert ranking.order[0] == 3
    assert METHODS["first"](Listed()).rank(*problem(1, 20)).order[0] == 19
