"""Model backends: implementations of ``rankers.reranker.protocols``."""
