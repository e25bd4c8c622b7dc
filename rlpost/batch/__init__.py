"""Packed batches of tokens and the operations on them."""
