"""Weights on their way to the engines: LoRA, adapter files, publication, canary."""
