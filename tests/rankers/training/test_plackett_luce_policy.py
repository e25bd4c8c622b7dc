"""Sampled rankings: seeded, exact in probability, and as frequent as they are probable."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import pytest

from rankers import Passage, Query, cross_encoder_reranker, listwise_reranker
from rankers.training.plackett_luce_policy import PlackettLucePolicy
from tests.rankers.golden import golden
from tests.rankers.reader import Reader

UTILITIES = {"a": 1.0, "b": 0.5, "c": -0.2, "d": 0.3}


class Table:
    """Utilities by passage."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [UTILITIES[passage] for _, passage in pairs]


PROBLEM = Query(id="q", text=""), [Passage(id=text, text=text) for text in UTILITIES]
POLICY = PlackettLucePolicy(reranker=cross_encoder_reranker(Table()))


def probability(order: Sequence[int], temperature: float = 1.0) -> float:
    weights = [math.exp(utility / temperature) for utility in UTILITIES.values()]
    left = [weights[i] for i in order]
    return math.prod(weight / sum(left[rank:]) for rank, weight in enumerate(left))


def test_the_log_probability_is_exact_and_the_most_probable_is_the_rerankers_own() -> None:
    [samples] = POLICY.sample([PROBLEM], num=50, seed=3)
    for sample in samples:
        assert sample.logprob == pytest.approx(math.log(probability(sample.order)))
        assert sample.logprobs_K[-1] == pytest.approx(0.0)
    mode = POLICY.reranker.rank(*PROBLEM).order
    assert mode == max(permutations(range(4)), key=probability)


def test_the_golden_probability_of_the_input_order() -> None:
    row = golden("plackett_luce")
    assert row["theta"] == list(UTILITIES.values())
    [samples] = POLICY.sample([PROBLEM], num=400, seed=0)
    found = {sample.order: sample.logprob for sample in samples}
    assert found[(0, 1, 2, 3)] == pytest.approx(row["logp_identity"], abs=1e-9)


def test_rankings_are_as_frequent_as_they_are_probable() -> None:
    policy = PlackettLucePolicy(reranker=POLICY.reranker, temperature=0.5)
    [samples] = policy.sample([PROBLEM], num=20_000, seed=1)
    counts = Counter(sample.order for sample in samples)
    for order in permutations(range(4)):
        expected = probability(order, temperature=0.5)
        assert counts[order] / 20_000 == pytest.approx(expected, abs=0.015)


def test_draws_belong_to_the_seed_and_the_query() -> None:
    query, passages = PROBLEM
    other = Query(id="other", text=""), passages
    alone = POLICY.sample([PROBLEM], num=5, seed=3)[0]
    together = POLICY.sample([other, PROBLEM, (query, [])], num=5, seed=3)
    assert together[1] == alone != together[0]
    assert POLICY.sample([PROBLEM], num=5, seed=4)[0] != alone
    assert [sample.order for sample in together[2]] == [()] * 5


def test_ranks_are_no_utilities() -> None:
    with pytest.raises(ValueError, match="has no scores but ranks"):
        PlackettLucePolicy(reranker=listwise_reranker(Reader()))
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        PlackettLucePolicy(reranker=POLICY.reranker, temperature=0)
