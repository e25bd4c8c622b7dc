"""Attention that no fused kernel computes: soft caps on scores (Gemma 2) and sinks (gpt-oss).

Importing this mends transformers' own ``sdpa``, which drops a soft cap without a word, so that a
model with one is loaded with another attention than it was trained with and is served with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward


def unfused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    soft_cap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """[B, H, Q, D] from heads-first inputs; ``mask`` is true, or 0, where a key is seen.

    ``soft_cap`` keeps scores within +-that (Gemma 2, arXiv 2408.00118); ``sinks`` [H] are scores
    that take weight and give nothing (gpt-oss). Without a mask attention is causal.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(2, 3)).to(torch.promote_types(query.dtype, torch.float32))
    scores = scores * scale
    if soft_cap is not None:
        scores = torch.tanh(scores / soft_cap) * soft_cap
    if mask is None:
        queries, keys = scores.shape[2:]
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device)
        mask = mask.tril(keys - queries)
    is_seen = mask.dtype == torch.bool
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if is_seen else scores + mask
    if sinks is not None:
        sinks = sinks.to(scores.dtype).reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat((scores, sinks), dim=-1)
    weights = scores.softmax(dim=-1)[..., : key.shape[2]].to(value.dtype)
    return drop(weights, dropout) @ value


def sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' ``sdpa``, which honours ``softcap`` here."""
    if softcap is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return output, None
    output = unfused_attention(
        query, key, value, attention_mask, scaling=scaling, dropout=dropout, soft_cap=softcap
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register("sdpa", sdpa)
