"""Methods on encoders instead of language models: bi-encoder, cross-encoder, E2Rank."""

from functools import partial

from rankers.budget import Budget
from rankers.encoders import (
    E2RANK_INSTRUCTION,
    E2RANK_QUERY,
    CosineJudge,
    CrossJudge,
    ListwiseQueryJudge,
)
from rankers.plans import Scores, unseeded
from rankers.ports import ChatEmbedder, CrossScorer, Embedder
from rankers.reranker import PlannedReranker, Reranker, cascade
from rankers.scoring import pointwise, rescored


def bi_encoder_reranker(
    embedder: Embedder, *, query_prompt: str | None = None, passage_prompt: str | None = None
) -> PlannedReranker[Scores]:
    """Cosine of query and passage embedding; prompts stand before the texts (``query: ``), by
    default those that come with the model."""
    return PlannedReranker(
        name="bi_encoder",
        plan=partial(unseeded, rescored),
        judge=CosineJudge(
            embedder=embedder, query_prompt=query_prompt, passage_prompt=passage_prompt
        ),
        score_kind="cosine",
    )


def cross_encoder_reranker(scorer: CrossScorer) -> PlannedReranker[float]:
    """The logit of a model that reads query and passage together."""
    return PlannedReranker(
        name="cross_encoder",
        plan=partial(unseeded, pointwise),
        judge=CrossJudge(scorer=scorer),
        score_kind="logit",
    )


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
        judge=ListwiseQueryJudge(
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
