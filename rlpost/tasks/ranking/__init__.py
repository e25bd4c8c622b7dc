"""Ranking tasks."""
