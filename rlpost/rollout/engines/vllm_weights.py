"""Replacing the full weights of a running vLLM engine; runs inside vLLM's worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def replace_weights(worker: Any, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Load ``weights`` (all of the model's, under checkpoint names) into the worker's live model.

    All of them, because part of a fused layer (q without k and v) would leave garbage in the rest.
    """
    runner = worker.model_runner
    model = runner.get_model()
    tied = bool(model.config.tie_word_embeddings)
    runner.reload_weights(
        weights_iterator=(
            (name, tensor) for name, tensor in weights if not (tied and name == "lm_head.weight")
        )
    )
    if tied and runner.device.type == "cpu":
        _repack_tied_head(model)


def _repack_tied_head(model: Any) -> None:
    # vLLM's CPU linear layers compute with a packed copy of their weight. A reload packs every
    # layer that it loads, but the tied head loads nothing of its own: its copy would stay old.
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    model.lm_head.weight = model.model.embed_tokens.weight
    dispatch_cpu_unquantized_gemm(model.lm_head, remove_weight=False)
