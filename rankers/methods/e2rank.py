"""E2Rank (arXiv 2510.22733): a listwise prompt as the query of an embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rankers.methods.encoders import bi_encoder_reranker, cosines, passage_vectors, rescored
from rankers.prompting.budget import Budget, fitted
from rankers.prompting.sanitize import neutralise_fields
from rankers.prompting.templates import ChatMessage
from rankers.reranker.judges import RankingPrompt, Reply, exact
from rankers.reranker.plans import Scores, unseeded
from rankers.reranker.protocols import ChatEmbedder
from rankers.reranker.reranker import PlannedReranker, Reranker, cascade

E2RANK_INSTRUCTION = (
    "Given a web search query and some relevant documents, rerank the documents that answer the "
    "query:"
)

E2RANK_QUERY = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseQueryScorer:
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

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[Scores]]:
        ask = partial(e2rank_messages, instruction=self.instruction)
        budget = self.budget or self.embedder.budget
        prompts = [
            fitted(budget, ask, question.query, question.passages[: self.feedback])
            for question in questions
        ]
        queries = self.embedder.embed_chats([prompt.chat for prompt in prompts])
        passages = passage_vectors(self.embedder, questions, self.passage_prompt)
        return [
            Reply(reading=exact(cosines(query, passages, question)), truncated=prompt.truncated)
            for question, prompt, query in zip(questions, prompts, queries, strict=True)
        ]


def e2rank_messages(
    query: str, passages: Sequence[str], *, instruction: str = E2RANK_INSTRUCTION
) -> list[ChatMessage]:
    """E2Rank's listwise prompt, as evaluated upstream (Alibaba-NLP/E2Rank 478f298)."""
    listed = "\n".join(
        f"[{i}] {neutralise_fields(passage)}" for i, passage in enumerate(passages, 1)
    )
    content = f"{instruction}\nDocuments:\n{listed}\nSearch Query: {neutralise_fields(query)}"
    return [{"role": "user", "content": content}]


def e2rank_reranker(
    embedder: ChatEmbedder,
    *,
    feedback: int = 20,
    passes: int = 1,
    cosine_first: bool = False,
    instruction: str = E2RANK_INSTRUCTION,
    query_prompt: str | None = E2RANK_QUERY,
    passage_prompt: str | None = None,
    budget: Budget | None = None,
) -> Reranker:
    """E2Rank (arXiv 2510.22733): a listwise prompt of the ``feedback`` best passages as query.

    Each further pass writes the prompt from the order of the pass before. ``cosine_first`` has the
    plain query (after ``query_prompt``) order the candidates for the first prompt. None as a
    prompt is the model's own. With a
    ``CachedEmbedder``, passages met before cost nothing. ``budget`` is the embedder's by default.
    """
    if feedback < 1:
        raise ValueError(f"feedback must be >= 1, got {feedback}")
    listwise = PlannedReranker(
        name=f"e2rank-{feedback}-{passes}",
        plan=partial(unseeded, partial(rescored, passes=passes)),
        judge=ListwiseQueryScorer(
            embedder=embedder,
            feedback=feedback,
            instruction=instruction,
            budget=budget,
            passage_prompt=passage_prompt,
        ),
        score_kind="cosine",
    )
    if not cosine_first:
        return listwise
    plain = bi_encoder_reranker(embedder, query_prompt=query_prompt, passage_prompt=passage_prompt)
    return cascade(plain, listwise)
