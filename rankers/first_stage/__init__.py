"""First stages: BM25, dense retrieval, fusion, by name."""
