"""Warm start: supervised fine-tuning before RL."""
