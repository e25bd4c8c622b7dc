"""The published ranking methods, each put together from a plan, a question and a reader."""

from rankers.methods.e2rank import e2rank_reranker
from rankers.methods.encoders import bi_encoder_reranker, cross_encoder_reranker
from rankers.methods.first import first_reranker
from rankers.methods.iranker import iranker_reranker
from rankers.methods.listwise import full_ranking_reranker, listwise_reranker
from rankers.methods.pairwise import PairwiseSort, pairwise_likelihood_reranker, pairwise_reranker
from rankers.methods.pointwise import pointwise_reranker, query_likelihood_reranker
from rankers.methods.rank_r1 import rank_r1_reranker
from rankers.methods.setwise import SetwiseSort, setwise_likelihood_reranker, setwise_reranker

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
