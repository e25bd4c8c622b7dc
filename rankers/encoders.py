"""Questions answered by encoders: cosine of embeddings, E2Rank's listwise query, cross-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rankers.budget import Budget, fitted
from rankers.embeddings import embedded, unit
from rankers.judges import Question, Reply, certain
from rankers.plans import Scores
from rankers.ports import ChatEmbedder, CrossScorer, Embedder
from rankers.prompts import Message, neutralise_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

E2RANK_INSTRUCTION = (
    "Given a web search query and some relevant documents, rerank the documents that answer the "
    "query:"
)
E2RANK_QUERY = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineJudge:
    """All passages of a question by the cosine of their embedding with the query's."""

    embedder: Embedder
    query_prompt: str | None = None
    """Stands before a query; None for the model's own."""
    passage_prompt: str | None = None

    def __call__(self, questions: Sequence[Question]) -> list[Reply[Scores]]:
        queries = embedded(
            self.embedder, "query", [question.query for question in questions], self.query_prompt
        )
        passages = _passages(self.embedder, questions, self.passage_prompt)
        return [
            Reply(reading=certain(_cosines(query, passages, question)))
            for question, query in zip(questions, queries, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseQueryJudge:
    """E2Rank (arXiv 2510.22733): the query's embedding is that of a listwise prompt.

    All passages are scored; the first ``feedback`` of them are in the prompt, cut to what the
    embedder can read.
    """

    embedder: ChatEmbedder
    feedback: int = 20
    instruction: str = E2RANK_INSTRUCTION
    budget: Budget | None = None
    """Default: the embedder's own."""
    passage_prompt: str | None = None
    """Stands before a passage that is compared; None for the model's own."""

    def __call__(self, questions: Sequence[Question]) -> list[Reply[Scores]]:
        ask = partial(e2rank_messages, instruction=self.instruction)
        budget = self.budget or self.embedder.budget
        prompts = [
            fitted(budget, ask, question.query, question.passages[: self.feedback])
            for question in questions
        ]
        queries = self.embedder.embed_chats([prompt.chat for prompt in prompts])
        passages = _passages(self.embedder, questions, self.passage_prompt)
        return [
            Reply(reading=certain(_cosines(query, passages, question)), truncated=prompt.truncated)
            for question, prompt, query in zip(questions, prompts, queries, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossJudge:
    """A passage by the score of a model that reads it together with the query."""

    scorer: CrossScorer

    def __call__(self, questions: Sequence[Question]) -> list[Reply[float]]:
        pairs = [
            (question.query, passage) for question in questions for passage in question.passages
        ]
        return [Reply(reading=certain(score)) for score in self.scorer.score(pairs)]


def e2rank_messages(
    query: str, passages: Sequence[str], *, instruction: str = E2RANK_INSTRUCTION
) -> list[Message]:
    """E2Rank's listwise prompt, as evaluated upstream (Alibaba-NLP/E2Rank 478f298)."""
    listed = "\n".join(
        f"[{i}] {neutralise_fields(passage)}" for i, passage in enumerate(passages, 1)
    )
    content = f"{instruction}\nDocuments:\n{listed}\nSearch Query: {neutralise_fields(query)}"
    return [{"role": "user", "content": content}]


def _passages(
    embedder: Embedder, questions: Sequence[Question], prompt: str | None
) -> dict[str, NDArray[np.float32]]:
    """Unit vectors of all different passages of ``questions``, encoded in one call."""
    texts = list(dict.fromkeys(text for question in questions for text in question.passages))
    vectors = unit(embedded(embedder, "passage", texts, prompt))
    return dict(zip(texts, vectors, strict=True))


def _cosines(
    query: NDArray[np.float32], passages: dict[str, NDArray[np.float32]], question: Question
) -> Scores:
    """Cosine of ``query`` with each passage of ``question``, in order."""
    import numpy as np

    matrix = np.stack([passages[text] for text in question.passages])
    return tuple((matrix @ unit(query)).tolist())
