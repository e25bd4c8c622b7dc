"""Bi-encoders and cross-encoders as rerankers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rankers.backends.embedding_cache import embedded, unit
from rankers.methods.pointwise import pointwise
from rankers.reranker.judges import RankingPrompt, Reply, exact
from rankers.reranker.plans import PlanResult, RankingPlan, Scores, by_score, unseeded
from rankers.reranker.protocols import CrossScorer, Embedder
from rankers.reranker.reranker import PlannedReranker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineScorer:
    """All passages of a question by the cosine of their embedding with the query's."""

    embedder: Embedder
    query_prompt: str | None = None
    """Stands before a query; None for the model's own."""
    passage_prompt: str | None = None

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[Scores]]:
        queries = embedded(
            self.embedder, "query", [question.query for question in questions], self.query_prompt
        )
        passages = passage_vectors(self.embedder, questions, self.passage_prompt)
        return [
            Reply(reading=exact(cosines(query, passages, question)))
            for question, query in zip(questions, queries, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderScorer:
    """A passage by the score of a model that reads it together with the query."""

    scorer: CrossScorer

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[float]]:
        pairs = [
            (question.query, passage) for question in questions for passage in question.passages
        ]
        return [Reply(reading=exact(score)) for score in self.scorer.score(pairs)]


def passage_vectors(
    embedder: Embedder, questions: Sequence[RankingPrompt], prompt: str | None
) -> dict[str, NDArray[np.float32]]:
    """Unit vectors of all different passages of ``questions``, encoded in one call."""
    texts = list(dict.fromkeys(text for question in questions for text in question.passages))
    vectors = unit(embedded(embedder, "passage", texts, prompt))
    return dict(zip(texts, vectors, strict=True))


def cosines(
    query: NDArray[np.float32], passages: dict[str, NDArray[np.float32]], question: RankingPrompt
) -> Scores:
    """Cosine of ``query`` with each passage of ``question``, in order."""
    import numpy as np

    matrix = np.stack([passages[text] for text in question.passages])
    return tuple((matrix @ unit(query)).tolist())


def rescored(n: int, *, passes: int = 1) -> RankingPlan[Scores]:
    """One question about all candidates per pass, in the order that the pass before left.

    Where the engine fails in a pass, what stood before it stays; in the first, that is the input
    order without scores.
    """
    if passes < 1:
        raise ValueError(f"passes must be >= 1, got {passes}")
    outcome = PlanResult(tuple(range(n)), ())
    for _ in range(passes if n else 0):
        [scores] = yield [outcome.order]
        if scores is not None:
            outcome = by_score(scores, outcome.order)
    return outcome


def bi_encoder_reranker(
    embedder: Embedder, *, query_prompt: str | None = None, passage_prompt: str | None = None
) -> PlannedReranker[Scores]:
    """Cosine of query and passage embedding; prompts stand before the texts (``query: ``), by
    default those that come with the model."""
    return PlannedReranker(
        name="bi_encoder",
        plan=partial(unseeded, rescored),
        judge=CosineScorer(
            embedder=embedder, query_prompt=query_prompt, passage_prompt=passage_prompt
        ),
        score_kind="cosine",
    )


def cross_encoder_reranker(scorer: CrossScorer) -> PlannedReranker[float]:
    """The logit of a model that reads query and passage together."""
    return PlannedReranker(
        name="cross_encoder",
        plan=partial(unseeded, pointwise),
        judge=CrossEncoderScorer(scorer=scorer),
        score_kind="logit",
    )
