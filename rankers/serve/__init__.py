"""Rerankers over HTTP: `rankers.serve.engine.service` is the seam between engine and routes."""
