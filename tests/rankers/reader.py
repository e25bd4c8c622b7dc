"""A model that reads relevance in the passages ("worth 17"), through real prompts and parsers."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rankers import (
    first_reranker,
    full_ranking_reranker,
    iranker_reranker,
    listwise_reranker,
    pairwise_likelihood_reranker,
    pairwise_reranker,
    pointwise_reranker,
    query_likelihood_reranker,
    rank_r1_reranker,
    setwise_likelihood_reranker,
    setwise_reranker,
)
from rankers.errors import BackendError
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores, Likelihood, TextCompletion
from rankers.reranker.reranker import Reranker
from rankers.types import Passage, Query

WRITTEN: dict[str, Callable[..., Reranker]] = {
    "compact": partial(listwise_reranker, template="compact"),
    "rank_zephyr": partial(listwise_reranker, template="rank_zephyr"),
    "rankgpt": partial(listwise_reranker, template="rankgpt"),
    "full ranking": full_ranking_reranker,
    "setwise": partial(setwise_reranker, k=5),
    "setwise bubblesort": partial(setwise_reranker, sort="bubblesort", k=5),
    "rank_r1": partial(rank_r1_reranker, k=5, num_children=4, votes=3),
    "rank_r1 0.2": partial(rank_r1_reranker, version="0.2", k=5, num_children=4),
    "iranker": iranker_reranker,
    "all pairs": partial(pairwise_reranker, sort="all_pairs"),
    "pairwise heapsort": partial(pairwise_reranker, k=5),
    "pairwise sliding": partial(pairwise_reranker, sort="sliding", k=5),
}
"""Methods whose answers are generated."""
SCORING: dict[str, Callable[..., Reranker]] = {
    "yes_no": pointwise_reranker,
    "mono_t5": partial(pointwise_reranker, question="mono_t5"),
    "qwen3_reranker": partial(pointwise_reranker, question="qwen3_reranker"),
    "query likelihood": query_likelihood_reranker,
}
"""Methods that give every passage a score of its own."""
METHODS: dict[str, Callable[..., Reranker]] = {
    **WRITTEN,
    **SCORING,
    "first": first_reranker,
    "setwise likelihood": partial(setwise_likelihood_reranker, k=5),
    "all pairs likelihood": partial(pairwise_likelihood_reranker, sort="all_pairs"),
    "pairwise likelihood": partial(pairwise_likelihood_reranker, k=5),
}
"""Every method with a language model behind it; call one with a backend."""

WORTH = re.compile(r"worth (\d+)")


@dataclass(kw_only=True)
class Reader:
    """Answers every prompt from the numbers in its passages, in the form that the prompt asks."""

    garble_every: int = 0
    nonsense: str = "I cannot say"
    fail_every: int = 0
    """Every so many-th question gets a BackendError in place of its answer."""
    batches: list[int] = field(default_factory=list)
    chats: list[Sequence[ChatMessage]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return len(self.chats)

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        assert max_tokens >= 8
        self.batches.append(len(chats))
        return [self._faulty(chat) or self._completion(chat) for chat in chats]

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores | BackendError]:
        self.batches.append(len(chats))
        found: list[LabelScores | BackendError] = []
        for chat in chats:
            logprobs = (*(worth / 100 - 9.0 for worth in _worths(chat)), *[-9.5] * len(labels))
            scores = LabelScores(logprobs=logprobs[: len(labels)], prompt_tokens=100)
            found.append(self._faulty(chat) or scores)
        return found

    def likelihoods(
        self, chats: Sequence[Sequence[ChatMessage]], *, answers: Sequence[str]
    ) -> list[Likelihood | BackendError]:
        self.batches.append(len(chats))
        return [
            self._faulty(chat)
            or Likelihood(
                logprobs_T=(_worths(chat)[0] / 100 - 9.0,) * max(1, len(answer.split())),
                prompt_tokens=100,
            )
            for chat, answer in zip(chats, answers, strict=True)
        ]

    def _faulty(self, chat: Sequence[ChatMessage]) -> BackendError | None:
        self.chats.append(chat)
        failing = self.fail_every and self.answered % self.fail_every == 0
        return BackendError("no answer from the engine") if failing else None

    def _completion(self, chat: Sequence[ChatMessage]) -> TextCompletion:
        text = self._answer(chat)
        if self.garble_every and self.answered % self.garble_every == 0:
            text = self.nonsense
        return TextCompletion(text=text, prompt_tokens=100, generated_tokens=len(text.split()))

    def _answer(self, chat: Sequence[ChatMessage]) -> str:
        prompt = "\n".join(turn["content"] for turn in chat)
        worths = _worths(chat)
        best = max(range(len(worths)), key=lambda i: worths[i])
        if "least likely" in prompt:
            worst = min(range(len(worths)), key=lambda i: worths[i])
            return f"<think>Not {worst}.</think>\n<answer>passage {worst}</answer>"
        if "<answer>" in prompt:
            return f"<think>It is {best}.</think> <answer>[{best + 1}]</answer>"
        if "Output" in prompt:
            return f"Passage {'ABCDEFGHIJKLMNOPQRSTUVW'[best]}"
        order = sorted(range(len(worths)), key=lambda i: -worths[i])
        return " > ".join(f"[{i + 1}]" for i in order)


def problem(number: int, n: int) -> tuple[Query, list[Passage]]:
    """A query with ``n`` passages of different worth."""
    worths = [(17 * i + 5 * number + 3) % 101 for i in range(n)]
    passages = [Passage(id=f"d{i}", text=f"text worth {worth}") for i, worth in enumerate(worths)]
    return Query(id=f"q{number}", text="which"), passages


def best_of(passages: Sequence[Passage], k: int) -> list[int]:
    return sorted(range(len(passages)), key=lambda i: -int(passages[i].text.split()[-1]))[:k]


def _worths(chat: Sequence[ChatMessage]) -> list[int]:
    # A passage without a number is worth nothing; its place is unknown, so such tests name none.
    return [int(worth) for turn in chat for worth in WORTH.findall(turn["content"])] or [0]
