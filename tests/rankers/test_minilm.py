"""A real encoder on real queries: MiniLM reranks BM25's candidates of TREC DL 2019."""

import pytest

from rankers import (
    CachedEmbedder,
    Passage,
    Query,
    Reranker,
    bi_encoder_reranker,
    e2rank_reranker,
    evaluate,
    load_collection,
    read_run,
)
from rankers.backends.sentence import SentenceEmbedder
from rankers.types import Run
from tests.paths import MINILM, SHARED, needs_minilm, needs_shared

QUERIES, DEPTH = 8, 30


@needs_minilm
@needs_shared
@pytest.mark.slow
def test_it_ranks_better_than_bm25_and_its_listwise_query_better_still() -> None:
    folder = SHARED / "data" / "trec_dl19"
    collection = load_collection(folder, "test")
    bm25 = read_run(folder / "runs" / "BM25.trec")
    first = {query_id: bm25[query_id][:DEPTH] for query_id in sorted(bm25)[:QUERIES]}
    qrels = {query_id: collection.qrels[query_id] for query_id in first}
    problems = [
        (
            Query(id=query_id, text=collection.queries[query_id]),
            [Passage(id=doc.id, text=collection.corpus[doc.id].content) for doc in docs],
        )
        for query_id, docs in first.items()
    ]
    embedder = CachedEmbedder(embedder=SentenceEmbedder(MINILM))

    def measured(reranker: Reranker) -> float:
        rankings = reranker.rank_many(problems)
        run: Run = {
            query.id: ranking.run_line([passage.id for passage in passages])
            for (query, passages), ranking in zip(problems, rankings, strict=True)
        }
        return evaluate(run, qrels, ["nDCG@10"]).mean["nDCG@10"]

    before = evaluate(first, qrels, ["nDCG@10"]).mean["nDCG@10"]
    by_cosine = measured(bi_encoder_reranker(embedder))
    listwise = e2rank_reranker(embedder, feedback=3, cosine_first=True, query_prompt="")
    assert (before, by_cosine) == pytest.approx((0.371, 0.419), abs=0.01)
    assert measured(listwise) == pytest.approx(0.435, abs=0.01)
