"""Streaming of groups: queue, ledger, messages."""
