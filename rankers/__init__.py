"""Reranking with language models: prompts, parsers, first stages, collections and evaluation.

Usable alone: nothing here trains, and importing this package loads neither torch nor numpy.
"""

from rankers.datasets import load_collection
from rankers.errors import BackendError, DataError, EngineError, RankerError
from rankers.first_stage import bm25_run, bm25_tag
from rankers.measures import Evaluation, evaluate, ndcg
from rankers.parsing import Parsed, parse_permutation
from rankers.prompts import cut, listwise_answer, listwise_messages, neutralise
from rankers.significance import Comparison, compare, corrected
from rankers.trec import read_qrels, read_run, write_qrels, write_run
from rankers.types import Collection, Document, Passage, Qrels, Query, Ranking, Run, ScoredDoc
from rankers.windows import sliding_windows

__all__ = [
    "BackendError",
    "Collection",
    "Comparison",
    "DataError",
    "Document",
    "EngineError",
    "Evaluation",
    "Parsed",
    "Passage",
    "Qrels",
    "Query",
    "RankerError",
    "Ranking",
    "Run",
    "ScoredDoc",
    "bm25_run",
    "bm25_tag",
    "compare",
    "corrected",
    "cut",
    "evaluate",
    "listwise_answer",
    "listwise_messages",
    "load_collection",
    "ndcg",
    "neutralise",
    "parse_permutation",
    "read_qrels",
    "read_run",
    "sliding_windows",
    "write_qrels",
    "write_run",
]
