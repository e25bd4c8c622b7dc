"""Rollout engines: everything here implements ``rlpost.ports.Engine``."""
