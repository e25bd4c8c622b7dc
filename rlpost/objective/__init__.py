"""Objectives: per-token losses, aggregation, KL, entropy, off-policy weights and masks."""
