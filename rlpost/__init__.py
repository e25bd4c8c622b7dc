"""RL post-training for language models and rankers."""

__version__ = "0.1.0"
