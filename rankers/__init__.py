"""Reranking with language models: prompts, parsers, first stages, collections and evaluation.

Usable alone: nothing here trains, and importing this package loads neither torch nor numpy.

    collection = load_collection("path/to/scifact", "test")
    first = bm25_run(collection, depth=100)
    reranker = listwise_reranker(HfBackend("path/to/model"))  # from rankers.backends.hf
    problems = [
        (
            Query(id=q, text=text),
            [Passage(id=d.id, text=collection.corpus[d.id].content) for d in first[q]],
        )
        for q, text in collection.queries.items()
    ]
    run = {
        query.id: ranking.run_line([p.id for p in passages])
        for (query, passages), ranking in zip(problems, reranker.rank_many(problems), strict=True)
    }
    print(evaluate(run, collection.qrels, ["nDCG@10"]).mean)
"""

from rankers.backends.embedding_cache import CachedEmbedder
from rankers.datasets.load import load_collection
from rankers.errors import BackendError, DataError, EngineError, RankerError, ScoreError
from rankers.evaluation.measures import Evaluation, evaluate, ndcg
from rankers.evaluation.significance import PairedComparison, compare, corrected
from rankers.files.trec import read_qrels, read_run, write_qrels, write_run
from rankers.first_stage.bm25 import bm25_run, bm25_tag
from rankers.methods import (
    bi_encoder_reranker,
    cross_encoder_reranker,
    e2rank_reranker,
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
from rankers.methods.listwise import sliding_windows
from rankers.prompting.budget import Budget
from rankers.prompting.parsing import Parsed, parse_permutation
from rankers.prompting.sanitize import neutralise
from rankers.prompting.templates import cut, listwise_answer, listwise_messages
from rankers.reranker.protocols import (
    Backend,
    ChatEmbedder,
    CrossScorer,
    Embedder,
    LabelBackend,
    LabelScores,
    Likelihood,
    LikelihoodBackend,
    TextCompletion,
)
from rankers.reranker.reranker import PlannedReranker, Reranker, ScoreKind, cascade
from rankers.types import (
    Collection,
    Document,
    Passage,
    Qrels,
    Query,
    Ranking,
    Run,
    ScoredDoc,
    Trace,
)

__all__ = [
    "Backend",
    "BackendError",
    "Budget",
    "CachedEmbedder",
    "ChatEmbedder",
    "Collection",
    "CrossScorer",
    "DataError",
    "Document",
    "Embedder",
    "EngineError",
    "Evaluation",
    "LabelBackend",
    "LabelScores",
    "Likelihood",
    "LikelihoodBackend",
    "PairedComparison",
    "Parsed",
    "Passage",
    "PlannedReranker",
    "Qrels",
    "Query",
    "RankerError",
    "Ranking",
    "Reranker",
    "Run",
    "ScoreError",
    "ScoreKind",
    "ScoredDoc",
    "TextCompletion",
    "Trace",
    "bi_encoder_reranker",
    "bm25_run",
    "bm25_tag",
    "cascade",
    "compare",
    "corrected",
    "cross_encoder_reranker",
    "cut",
    "e2rank_reranker",
    "evaluate",
    "first_reranker",
    "full_ranking_reranker",
    "iranker_reranker",
    "listwise_answer",
    "listwise_messages",
    "listwise_reranker",
    "load_collection",
    "ndcg",
    "neutralise",
    "pairwise_likelihood_reranker",
    "pairwise_reranker",
    "parse_permutation",
    "pointwise_reranker",
    "query_likelihood_reranker",
    "rank_r1_reranker",
    "read_qrels",
    "read_run",
    "setwise_likelihood_reranker",
    "setwise_reranker",
    "sliding_windows",
    "write_qrels",
    "write_run",
]
