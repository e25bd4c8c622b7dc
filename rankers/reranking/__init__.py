"""`rlpost rerank`: a run in, a reranked run out, resumable, with its cost."""
