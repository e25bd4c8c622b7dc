"""One interface for every method: the best on top, nobody lost, costs counted, failures told."""

import copy
import pickle
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankers import (
    BackendError,
    DataError,
    Reranker,
    ScoreError,
    TextCompletion,
    cascade,
    first_reranker,
    full_ranking_reranker,
    listwise_reranker,
    pairwise_reranker,
    pointwise_reranker,
    query_likelihood_reranker,
    rank_r1_reranker,
    setwise_reranker,
)
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores, Likelihood
from rankers.types import Passage, Query
from tests.rankers.reader import METHODS, SCORING, WRITTEN, Reader, best_of, problem

NONSENSE = [
    "",
    "[0]",
    "[99] > [-1]",
    "Z",
    "<think>",
    "<answer></answer>",
    "<think>x</think><answer>passage 77</answer>",
    "9" * 5000,
    "\u2460\u00b2[\uff11]",
    "[1] > " * 300,
]


@pytest.mark.parametrize("name", METHODS)
def test_a_model_that_knows_brings_the_best_to_the_top(name: str) -> None:
    query, passages = problem(1, 30)
    reader = Reader()
    ranking = METHODS[name](reader).rank(query, passages)
    assert list(ranking.order[:5]) == best_of(passages, 5)
    assert ranking.trace.calls == reader.answered == ranking.trace.malformed["ok"]
    assert ranking.trace.rules == {"strict": reader.answered}
    assert not ranking.trace.degraded
    assert ranking.trace.seconds > 0


@pytest.mark.parametrize("name", METHODS)
def test_scores_mean_what_the_method_says(name: str) -> None:
    query, passages = problem(1, 30)
    worths = [int(passage.text.split()[-1]) for passage in passages]
    reranker = METHODS[name](Reader())
    ranking = reranker.rank(query, passages)
    log_odds = [worths[i] / 100 - 9.0 + 9.5 for i in ranking.order]
    expected = {
        "rank": [float(n) for n in range(30, 0, -1)],
        "wins": [float(n) for n in range(29, -1, -1)],
        "log_odds": log_odds,
        "log_likelihood": [x - 9.5 for x in log_odds],
    }
    if reranker.score_kind == "probability":
        assert all(0 < score < 1 for score in ranking.scores)
        assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
    else:
        assert ranking.scores == pytest.approx(expected[reranker.score_kind])


@pytest.mark.parametrize("name", METHODS)
def test_many_queries_give_what_each_gives_alone_in_shared_batches(name: str) -> None:
    problems = [problem(number, n) for number, n in enumerate((0, 1, 7, 23, 30, 30))]
    reader = Reader()
    together = METHODS[name](reader).rank_many(problems)
    alone = METHODS[name](Reader())
    assert together == [alone.rank(query, passages) for query, passages in problems]
    calls = [ranking.trace.calls for ranking in together]
    assert calls[:2] == [0, int(name in SCORING)]  # a single passage has no rival, only a score
    assert len(reader.batches) < sum(calls)


@pytest.mark.parametrize("name", METHODS)
def test_every_reranker_pickles_and_copies(name: str) -> None:
    query, passages = problem(1, 12)
    reranker = METHODS[name](Reader())
    expected = reranker.rank(query, passages)
    assert pickle.loads(pickle.dumps(reranker)).rank(query, passages) == expected
    assert copy.deepcopy(reranker).rank(query, passages) == expected
    assert pickle.loads(pickle.dumps(expected)) == copy.deepcopy(expected) == expected


@pytest.mark.parametrize("name", WRITTEN)
def test_answers_that_say_nothing_are_counted_and_lose_nobody(name: str) -> None:
    query, passages = problem(2, 25)
    ranking = METHODS[name](Reader(garble_every=3)).rank(query, passages)
    assert sorted(ranking.order) == list(range(25))
    assert ranking.trace.malformed.get("wrong_format", 0) == ranking.trace.calls // 3
    assert not ranking.trace.degraded


@pytest.mark.parametrize("text", NONSENSE)
@pytest.mark.parametrize("name", WRITTEN)
def test_nonsense_alone_still_ranks_everybody(name: str, text: str) -> None:
    query, passages = problem(2, 8)
    ranking = METHODS[name](Reader(garble_every=1, nonsense=text)).rank(query, passages)
    assert sorted(ranking.order) == list(range(8))
    assert sum(ranking.trace.malformed.values()) == ranking.trace.calls


TO_DEPTH: dict[str, Callable[..., Reranker]] = {
    "listwise": lambda backend, k: listwise_reranker(backend, window=k, step=(k + 1) // 2),
    "full": lambda backend, k: full_ranking_reranker(backend),
    "setwise heapsort": setwise_reranker,
    "setwise bubblesort": partial(setwise_reranker, sort="bubblesort", num_children=19),
    "rank_r1": rank_r1_reranker,
}


@pytest.mark.parametrize("name", TO_DEPTH)
@settings(max_examples=25)
@given(n=st.integers(0, 200), k=st.integers(1, 210), text=st.text(max_size=80))
def test_any_answer_gives_a_permutation_of_any_number(name: str, n: int, k: int, text: str) -> None:
    passages = [Passage(id="same", text="") for _ in range(n)]
    reranker = TO_DEPTH[name](Reader(garble_every=1, nonsense=text), k=k)
    assert sorted(reranker.rank(Query(id="q", text=""), passages).order) == list(range(n))


@pytest.mark.parametrize("name", METHODS)
def test_what_the_engine_failed_on_keeps_its_order_and_is_told(name: str) -> None:
    problems = [problem(number, 25) for number in range(3)]
    rankings = METHODS[name](Reader(fail_every=2)).rank_many(problems)
    assert all(sorted(ranking.order) == list(range(25)) for ranking in rankings)
    calls = sum(ranking.trace.calls for ranking in rankings)
    assert sum(ranking.trace.failures for ranking in rankings) == calls // 2
    if name in SCORING:
        # Some passages of the list have no score: the whole list stays, and says so.
        assert rankings[0].order == tuple(range(25))
        assert rankings[0].scores == ()
    with pytest.raises(BackendError, match="no answer from the engine"):
        METHODS[name](Reader(fail_every=2)).rank_many(problems, strict=True)


class Flaky(Reader):
    """An engine whose first whole batch is lost."""

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        if not self.batches:
            self.batches.append(0)
            raise BackendError("the connection broke")
        return super().complete(chats, max_tokens=max_tokens)


def test_a_failed_window_keeps_the_order_that_stood() -> None:
    query, passages = problem(4, 30)
    ranking = listwise_reranker(Flaky()).rank(query, passages)
    # The bottom window was lost: its ten last stay last, as they came.
    assert ranking.order[20:] == tuple(range(20, 30))
    assert list(ranking.order[:3]) == best_of(passages[:20], 3)
    assert (ranking.trace.calls, ranking.trace.failures) == (2, 1)
    assert ranking.trace.degraded
    with pytest.raises(BackendError, match="the connection broke"):
        listwise_reranker(Flaky()).rank(query, passages, strict=True)


def test_an_engine_that_answers_nothing_at_all_gives_no_ranking() -> None:
    with pytest.raises(BackendError):
        listwise_reranker(Reader(fail_every=1)).rank_many([problem(4, 3), problem(5, 40)])


class Multi:
    """A model whose tokenizer splits the labels."""

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores]:
        raise DataError(f"label {labels[0]!r} after {primer!r} is not one token of this model")


def test_a_model_that_cannot_answer_the_method_is_refused_not_degraded() -> None:
    for name in ("first", "setwise likelihood", "pairwise likelihood", "yes_no"):
        with pytest.raises(DataError, match="is not one token"):
            METHODS[name](Multi()).rank(*problem(1, 30))


class Broken:
    """A model whose weights hold a NaN."""

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores]:
        nan = (float("nan"),) * len(labels)
        return [LabelScores(logprobs=nan, prompt_tokens=1) for _ in chats]

    def likelihoods(
        self, chats: Sequence[Sequence[ChatMessage]], *, answers: Sequence[str]
    ) -> list[Likelihood]:
        return [Likelihood(logprobs_T=(float("nan"),), prompt_tokens=1) for _ in chats]


@pytest.mark.parametrize("name", ["first", "setwise likelihood", "all pairs likelihood", *SCORING])
def test_a_score_that_is_no_number_is_an_error_never_a_rank(name: str) -> None:
    with pytest.raises(ScoreError, match="nan"):
        METHODS[name](Broken()).rank(*problem(1, 4))


def test_published_call_counts() -> None:
    query, passages = problem(3, 100)
    rerankers: list[tuple[Reranker, int]] = [
        (listwise_reranker(Reader()), 9),
        (full_ranking_reranker(Reader()), 1),
        (first_reranker(Reader()), 9),
        (pairwise_reranker(Reader(), sort="all_pairs"), 9900),
        (pointwise_reranker(Reader()), 100),
        (query_likelihood_reranker(Reader()), 100),
        (METHODS["iranker"](Reader()), 99),
    ]
    for reranker, calls in rerankers:
        assert reranker.rank(query, passages).trace.calls == calls


def test_passages_with_the_same_text_or_id_stay_apart() -> None:
    passages = [Passage(id="same", text="worth 1")] * 3
    for method in METHODS.values():
        ranking = method(Reader()).rank(Query(id="q", text=""), passages)
        assert sorted(ranking.order) == [0, 1, 2]
    assert listwise_reranker(Reader()).rank(Query(id="q", text=""), passages).order == (0, 1, 2)


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_query_and_an_empty_passage_are_ranked_like_others(name: str) -> None:
    passages = [Passage(id="a", text=" worth 1"), Passage(id="b", text="worth 9")]
    assert METHODS[name](Reader()).rank(Query(id="", text=""), passages).order == (1, 0)
    empty = [Passage(id="a", text=""), Passage(id="b", text="")]
    reranker = METHODS[name](Reader(garble_every=1))
    assert sorted(reranker.rank(Query(id="q", text="x"), empty).order) == [0, 1]


def test_texts_are_kept_only_where_asked_for() -> None:
    reranker = METHODS["rank_r1"](Reader())
    assert reranker.rank(*problem(1, 5)).trace.texts == ()
    trace = reranker.rank(*problem(1, 5), keep_texts=True).trace
    assert len(trace.texts) == trace.calls
    assert all("<think>It is" in text for text in trace.texts)


def test_windows_beyond_the_labels_and_senseless_options_are_refused_at_once() -> None:
    for build, message in (
        (partial(first_reranker, window=27), "window must be <= 26"),
        (partial(setwise_reranker, num_children=23), "num_children must be < 23"),
        (partial(setwise_reranker, k=0), "k >= 1"),
        (partial(pairwise_reranker, k=0), "k must be >= 1"),
        (partial(listwise_reranker, step=0), "1 <= step <= window"),
    ):
        with pytest.raises(ValueError, match=message):
            build(Reader())


def test_a_cascade_hands_each_order_on_and_adds_the_costs() -> None:
    query, passages = problem(1, 30)
    stages = (METHODS["yes_no"](Reader()), METHODS["setwise"](Reader()))
    both = cascade(*stages)
    assert (both.name, both.score_kind) == ("pointwise-yes_no+setwise-heapsort-3-5", "rank")
    ranking = both.rank(query, passages)
    # The second stage orders only the five best; the rest keep the order of the first.
    assert list(ranking.order) == best_of(passages, 30)
    alone = [stage.rank(query, passages).trace.calls for stage in stages]
    assert ranking.trace.calls > alone[0]
    assert ranking.trace.prompt_tokens == 100 * ranking.trace.calls
    assert both.rank_many([]) == []
