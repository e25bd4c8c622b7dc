"""The reranker: plans, judges, batching across queries."""
