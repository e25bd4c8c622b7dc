"""Diagnostics of updates and rollouts."""
