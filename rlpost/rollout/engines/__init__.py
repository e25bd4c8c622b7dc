"""Rollout engines: everything here implements ``rlpost.protocols.Engine``."""
