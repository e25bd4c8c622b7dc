"""Serving a run's policy: its newest adapter, the prompts it was trained on, server specs."""
