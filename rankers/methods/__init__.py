"""The published ranking methods, each put together from a plan, a question and a reader."""

from rankers.methods.choosing import (
    PairwiseSort,
    SetwiseSort,
    iranker_reranker,
    pairwise_likelihood_reranker,
    pairwise_reranker,
    rank_r1_reranker,
    setwise_likelihood_reranker,
    setwise_reranker,
)
from rankers.methods.encoding import (
    bi_encoder_reranker,
    cross_encoder_reranker,
    e2rank_reranker,
)
from rankers.methods.listing import first_reranker, full_ranking_reranker, listwise_reranker
from rankers.methods.scoring import pointwise_reranker, query_likelihood_reranker

__all__ = [
    "PairwiseSort",
    "SetwiseSort",
    "bi_encoder_reranker",
    "cross_encoder_reranker",
    "e2rank_reranker",
    "first_reranker",
    "full_ranking_reranker",
    "iranker_reranker",
    "listwise_reranker",
    "pairwise_likelihood_reranker",
    "pairwise_reranker",
    "pointwise_reranker",
    "query_likelihood_reranker",
    "rank_r1_reranker",
    "setwise_likelihood_reranker",
    "setwise_reranker",
]
