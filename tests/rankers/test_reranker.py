"""Methods over a model that reads relevance in the passages, through real prompts and parsers."""

import copy
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from rankers.errors import BackendError
from rankers.methods import (
    first_reranker,
    listwise_reranker,
    pairwise_reranker,
    rank_r1_reranker,
    setwise_likelihood_reranker,
    setwise_reranker,
)
from rankers.ports import Completion, LabelScores
from rankers.prompts import Message
from rankers.reranker import Reranker
from rankers.types import Passage, Query

METHODS: dict[str, Callable[[Any], Reranker[Any]]] = {
    "compact": partial(listwise_reranker, template="compact"),
    "rank_zephyr": partial(listwise_reranker, template="rank_zephyr"),
    "rankgpt": partial(listwise_reranker, template="rankgpt"),
    "first": first_reranker,
    "setwise": partial(setwise_reranker, k=5),
    "setwise bubblesort": partial(setwise_reranker, sort="bubblesort", k=5),
    "setwise likelihood": partial(setwise_likelihood_reranker, k=5),
    "rank_r1": partial(rank_r1_reranker, k=5, num_children=4, votes=3),
    "all pairs": partial(pairwise_reranker, sort="all_pairs"),
    "pairwise heapsort": partial(pairwise_reranker, k=5),
    "pairwise sliding": partial(pairwise_reranker, sort="sliding", k=5),
}
WRITTEN = [name for name in METHODS if name not in ("first", "setwise likelihood")]
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

    def label_logprobs(
        self, chats: Sequence[Sequence[Message]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores]:
        self.batches.append(len(chats))
        self.answered += len(chats)
        found = []
        for chat in chats:
            worths = [int(worth) for worth in WORTH.findall(chat[-1]["content"])]
            logprobs = (*(worth / 100 - 9.0 for worth in worths), *[0.0] * len(labels))
            found.append(LabelScores(logprobs=logprobs[: len(labels)], prompt_tokens=100))
        return found

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
    ranking = METHODS[name](reader).rank(query, passages)
    assert list(ranking.order[:5]) == best_of(passages, 5)
    assert ranking.scores == tuple(range(30, 0, -1))
    assert ranking.trace.calls == reader.answered == ranking.trace.malformed["ok"]
    assert ranking.trace.rules == {"strict": reader.answered}
    assert ranking.trace.prompt_tokens == 100 * reader.answered


@pytest.mark.parametrize("name", METHODS)
def test_many_queries_give_what_each_gives_alone_in_shared_batches(name: str) -> None:
    problems = [problem(number, n) for number, n in enumerate((0, 1, 7, 23, 30))]
    reader = Reader()
    together = METHODS[name](reader).rank_many(problems)
    alone = METHODS[name](Reader())
    assert together == [alone.rank(query, passages) for query, passages in problems]
    assert len(reader.batches) < sum(ranking.trace.calls for ranking in together)


@pytest.mark.parametrize("name", WRITTEN)
def test_answers_that_say_nothing_are_counted_and_lose_nobody(name: str) -> None:
    query, passages = problem(2, 25)
    ranking = METHODS[name](Reader(garble_every=3)).rank(query, passages)
    assert sorted(ranking.order) == list(range(25))
    assert ranking.trace.malformed.get("wrong_format", 0) == ranking.trace.calls // 3


def test_published_call_counts() -> None:
    query, passages = problem(3, 100)
    rerankers: list[tuple[Reranker[Any], int]] = [
        (listwise_reranker(Reader()), 9),
        (listwise_reranker(Reader(), window=100, step=10), 1),
        (first_reranker(Reader()), 9),
        (pairwise_reranker(Reader(), sort="all_pairs"), 9900),
    ]
    for reranker, calls in rerankers:
        assert reranker.rank(query, passages).trace.calls == calls


def test_passages_with_the_same_text_or_id_stay_apart() -> None:
    passages = [Passage(id="same", text="worth 1")] * 3
    ranking = listwise_reranker(Reader(), template="compact").rank(Query(id="q", text=""), passages)
    assert ranking.order == (0, 1, 2)
    assert pickle.loads(pickle.dumps(ranking)) == copy.deepcopy(ranking) == ranking


class Failing:
    """An engine that is down."""

    def complete(self, chats: Sequence[Sequence[Message]], *, max_tokens: int) -> list[Completion]:
        raise BackendError("no answer from the engine")


def test_an_engine_failure_is_not_a_ranking() -> None:
    query, passages = problem(4, 3)
    with pytest.raises(BackendError):
        listwise_reranker(Failing()).rank(query, passages)


def test_windows_beyond_the_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="window must be <= 26"):
        first_reranker(Reader(), window=27)
    with pytest.raises(ValueError, match="num_children must be < 23"):
        setwise_reranker(Reader(), num_children=23)
