"""Methods over a model that reads relevance in the passages, through real prompts and parsers."""

import copy
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from rankers.errors import BackendError
from rankers.methods import (
    Method,
    listwise_method,
    pairwise_method,
    rank_r1_method,
    setwise_method,
)
from rankers.ports import Completion
from rankers.prompts import Message, Template
from rankers.reranker import Reranker
from rankers.types import Passage, Query

METHODS: dict[str, Callable[[], Method[Any]]] = {
    "compact": lambda: listwise_method(template="compact"),
    "rank_zephyr": lambda: listwise_method(template="rank_zephyr"),
    "rankgpt": lambda: listwise_method(template="rankgpt"),
    "setwise": lambda: setwise_method(k=5),
    "setwise bubblesort": lambda: setwise_method(sort="bubblesort", k=5),
    "rank_r1": lambda: rank_r1_method(k=5, num_children=4, votes=3),
    "all pairs": lambda: pairwise_method(sort="all_pairs"),
    "pairwise heapsort": lambda: pairwise_method(k=5),
    "pairwise sliding": lambda: pairwise_method(sort="sliding", k=5),
}
WORTH = re.compile(r"worth (\d+)")


@dataclass(kw_only=True)
class Reader:
    """Answers every prompt from the numbers in its passages, in the form that the prompt asks."""

    garble_every: int = 0
    batches: list[int] = field(default_factory=list)
    answered: int = 0

    def complete(self, chats: Sequence[Sequence[Message]], *, max_tokens: int) -> list[Completion]:
        assert max_tokens >= 8
        self.batches.append(len(chats))
        return [self._completion(chat) for chat in chats]

    def _completion(self, chat: Sequence[Message]) -> Completion:
        self.answered += 1
        text = self._answer("\n".join(turn["content"] for turn in chat))
        if self.garble_every and self.answered % self.garble_every == 0:
            text = "I cannot say"
        return Completion(text=text, prompt_tokens=100, generated_tokens=len(text.split()))

    def _answer(self, prompt: str) -> str:
        worths = [int(worth) for worth in WORTH.findall(prompt)]
        best = max(range(len(worths)), key=lambda i: worths[i])
        if "<answer>" in prompt:
            return f"<think>It is {best}.</think> <answer>[{best + 1}]</answer>"
        if "Output" in prompt:
            return f"Passage {'ABCDEFGHIJKLMNOPQRSTUVW'[best]}"
        order = sorted(range(len(worths)), key=lambda i: -worths[i])
        return " > ".join(f"[{i + 1}]" for i in order)


def problem(number: int, n: int) -> tuple[Query, list[Passage]]:
    worths = [(17 * i + 5 * number + 3) % 101 for i in range(n)]
    passages = [Passage(id=f"d{i}", text=f"text worth {worth}") for i, worth in enumerate(worths)]
    return Query(id=f"q{number}", text="which"), passages


def best_of(passages: Sequence[Passage], k: int) -> list[int]:
    return sorted(range(len(passages)), key=lambda i: -int(passages[i].text.split()[-1]))[:k]


@pytest.mark.parametrize("name", METHODS)
def test_a_model_that_knows_brings_the_best_to_the_top(name: str) -> None:
    query, passages = problem(1, 30)
    reader = Reader()
    ranking = Reranker(method=METHODS[name](), backend=reader).rank(query, passages)
    assert list(ranking.order[:5]) == best_of(passages, 5)
    assert ranking.scores == tuple(range(30, 0, -1))
    assert ranking.trace.calls == reader.answered == ranking.trace.malformed["ok"]
    assert ranking.trace.rules == {"strict": reader.answered}
    assert ranking.trace.prompt_tokens == 100 * reader.answered


@pytest.mark.parametrize("name", METHODS)
def test_many_queries_give_what_each_gives_alone_in_shared_batches(name: str) -> None:
    problems = [problem(number, n) for number, n in enumerate((0, 1, 7, 23, 30))]
    reader = Reader()
    together = Reranker(method=METHODS[name](), backend=reader).rank_many(problems)
    alone = Reranker(method=METHODS[name](), backend=Reader())
    assert together == [alone.rank(query, passages) for query, passages in problems]
    assert len(reader.batches) < sum(ranking.trace.calls for ranking in together)


@pytest.mark.parametrize("name", METHODS)
def test_answers_that_say_nothing_are_counted_and_lose_nobody(name: str) -> None:
    query, passages = problem(2, 25)
    ranking = Reranker(method=METHODS[name](), backend=Reader(garble_every=3)).rank(query, passages)
    assert sorted(ranking.order) == list(range(25))
    assert ranking.trace.malformed.get("wrong_format", 0) == ranking.trace.calls // 3


def test_published_call_counts() -> None:
    query, passages = problem(3, 100)
    cases: list[tuple[Method[Any], int]] = [
        (listwise_method(), 9),
        (listwise_method(window=100, step=10), 1),
        (pairwise_method(sort="all_pairs"), 9900),
    ]
    for method, calls in cases:
        assert Reranker(method=method, backend=Reader()).rank(query, passages).trace.calls == calls


def test_passages_with_the_same_text_or_id_stay_apart() -> None:
    passages = [Passage(id="same", text="worth 1")] * 3
    template: Template = "compact"
    ranking = Reranker(method=listwise_method(template=template), backend=Reader()).rank(
        Query(id="q", text=""), passages
    )
    assert ranking.order == (0, 1, 2)
    assert pickle.loads(pickle.dumps(ranking)) == copy.deepcopy(ranking) == ranking


class Failing:
    """An engine that is down."""

    def complete(self, chats: Sequence[Sequence[Message]], *, max_tokens: int) -> list[Completion]:
        raise BackendError("no answer from the engine")


def test_an_engine_failure_is_not_a_ranking() -> None:
    query, passages = problem(4, 3)
    with pytest.raises(BackendError):
        Reranker(method=listwise_method(), backend=Failing()).rank(query, passages)
