"""Rerankers over HTTP: see `rankers.serve.service` for the seam between engine and routes."""
