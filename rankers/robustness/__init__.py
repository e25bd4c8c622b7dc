"""`rlpost robustness`: does a reranker keep its quality when its input changes?"""
