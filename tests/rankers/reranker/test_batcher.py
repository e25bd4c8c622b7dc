"""Joining: whoever comes and goes, everybody gets what they get alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankers import BackendError, ScoreError, cascade
from rankers.reranker.batcher import Batcher, PromptBatch, RankingTask
from rankers.reranker.judges import RankingPrompt, Reply, exact
from rankers.reranker.reranker import PlannedReranker, Reranker, TaskResult
from rankers.types import Passage, Query, Ranking
from tests.rankers.reader import METHODS, Reader, problem


def working(reranker: Reranker, number: int, n: int) -> RankingTask[TaskResult]:
    return reranker.work(*problem(number, n), strict=False, keep_texts=False)


@pytest.mark.parametrize("name", [*METHODS, "cascade"])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 40))
def test_whoever_joins_and_leaves_when_each_ranking_is_the_lone_one(
    name: str, seed: int, most: int
) -> None:
    rng = random.Random(seed)
    stages = ["yes_no", "setwise"] if name == "cascade" else [name]
    reranker = cascade(*(METHODS[stage](Reader()) for stage in stages))
    sizes = [rng.randrange(25) for _ in range(6)]
    running = Batcher[int, TaskResult](most)
    found: dict[int, TaskResult | Exception] = {}
    dropped = set()
    joined = 0
    while running or joined < len(sizes):
        if joined < len(sizes) and (not running or rng.random() < 0.4):
            running.join(joined, working(reranker, joined, sizes[joined]))
            joined += 1
        if rng.random() < 0.1:
            dropped.add(joined - 1)
            running.drop(joined - 1)
        found |= running.turn()
    assert set(range(len(sizes))) - set(found) <= dropped
    for number, worked in found.items():
        assert isinstance(worked, TaskResult)
        assert worked.ranking == reranker.rank(*problem(number, sizes[number]))


@dataclass(frozen=True)
class Poisonable:
    """A judge that breaks, one way or another, on a batch that holds a query of that name."""

    def __call__(self, questions: Sequence[RankingPrompt]) -> Sequence[Reply[float] | BackendError]:
        queries = {question.query for question in questions}
        for error in (ScoreError("nan"), BackendError("lost"), KeyError("bug")):
            if type(error).__name__ in queries:
                raise error
        return [Reply(reading=exact(float(len(q.passages[0])))) for q in questions]


def test_a_question_that_breaks_the_engine_breaks_no_other_query() -> None:
    pointwise = METHODS["yes_no"](Reader())
    assert isinstance(pointwise, PlannedReranker)
    reranker = PlannedReranker(name="p", plan=pointwise.plan, judge=Poisonable())
    passages = [Passage(id=text, text=text) for text in ("a", "bb")]
    running = Batcher[str, TaskResult]()
    for name in ("ScoreError", "good", "BackendError", "KeyError", "fine"):
        query = Query(id=name, text=name)
        running.join(name, reranker.work(query, passages, strict=False, keep_texts=False))
    ended = running.turn()
    for name in ("good", "fine"):
        assert ended[name] == TaskResult(reranker.rank(Query(id="", text=""), passages), None)
    assert isinstance(ended["ScoreError"], ScoreError)
    assert isinstance(ended["KeyError"], KeyError)
    lost = ended["BackendError"]
    assert isinstance(lost, TaskResult)
    assert lost.unanswered
    assert str(lost.failure) == "lost"
    assert not running
    with pytest.raises(KeyError, match="bug"):
        reranker.rank(Query(id="", text="KeyError"), passages)


def test_many_questions_do_not_hold_up_few() -> None:
    reader = Reader()
    running = Batcher[str, TaskResult](20)
    running.join("long", working(METHODS["all pairs"](reader), 1, 30))
    running.join("short", working(METHODS["yes_no"](reader), 2, 8))
    turns = []
    while running:
        turns.append(list(running.turn()))
    assert turns[0] == ["short"]
    # 12 of its 870 questions beside the short one, then 20 a turn.
    assert len(turns) == 1 + -(-(870 - 12) // 20)
    assert (running.calls, running.questions) == (len(turns) + 1, 878)


def test_an_answer_does_not_depend_on_what_others_may_write() -> None:
    limits: list[tuple[int, int]] = []

    class Limited(Reader):
        def complete(self, chats: Sequence, *, max_tokens: int) -> list:  # type: ignore[type-arg]
            limits.append((len(chats), max_tokens))
            return super().complete(chats, max_tokens=max_tokens)

    METHODS["full ranking"](Limited()).rank_many([problem(1, 4), problem(2, 9), problem(3, 4)])
    assert limits == [(2, 40), (1, 80)]


def test_an_engine_that_answers_too_little_is_an_error() -> None:
    class Silent:
        def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[float]]:
            return []

    def work() -> RankingTask[Ranking]:
        yield PromptBatch(Silent(), [RankingPrompt(query="", passages=("a",))])
        return Ranking(order=())

    running = Batcher[int, Ranking]()
    running.join(0, work())
    assert str(running.turn()[0]) == "1 questions got 0 answers"
