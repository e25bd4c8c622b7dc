"""Reranking with language models: prompts, parsers, first stages, collections and evaluation.

Usable alone: nothing here trains, and importing this package loads neither torch nor numpy.
"""

from rankers.datasets import load_collection
from rankers.errors import BackendError, DataError, EngineError, RankerError
from rankers.first_stage import bm25_run, bm25_tag
from rankers.measures import Evaluation, evaluate, ndcg
from rankers.methods import (
    Method,
    listwise_method,
    pairwise_method,
    rank_r1_method,
    setwise_method,
)
from rankers.parsing import Parsed, parse_permutation
from rankers.ports import Backend, Completion
from rankers.prompts import cut, listwise_answer, listwise_messages, neutralise
from rankers.reranker import Reranker
from rankers.significance import Comparison, compare, corrected
from rankers.trec import read_qrels, read_run, write_qrels, write_run
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
from rankers.windows import sliding_windows

__all__ = [
    "Backend",
    "BackendError",
    "Collection",
    "Comparison",
    "Completion",
    "DataError",
    "Document",
    "EngineError",
    "Evaluation",
    "Method",
    "Parsed",
    "Passage",
    "Qrels",
    "Query",
    "RankerError",
    "Ranking",
    "Reranker",
    "Run",
    "ScoredDoc",
    "Trace",
    "bm25_run",
    "bm25_tag",
    "compare",
    "corrected",
    "cut",
    "evaluate",
    "listwise_answer",
    "listwise_messages",
    "listwise_method",
    "load_collection",
    "ndcg",
    "neutralise",
    "pairwise_method",
    "parse_permutation",
    "rank_r1_method",
    "read_qrels",
    "read_run",
    "setwise_method",
    "sliding_windows",
    "write_qrels",
    "write_run",
]
