"""Recommendation tasks (Rank-GRPO)."""
