"""Block-diagonal causal attention over a packed row, sequence by sequence: no mask, no cross-talk,
no waste.

Registered with transformers as ``packed_sdpa``, for devices without a variable-length kernel. A
dense mask over the row would compute every pair of sequences only to discard it (4,000 tokens in 32
sequences, 4 heads of 32, one core: 544 ms forward and backward against 23 ms). On CUDA
transformers' own ``flash_attention_2`` takes the same arguments.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

PACKED_SDPA = "packed_sdpa"


def packed_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of transformers' signature: heads-first [1, H, L, D] in, [1, L, H, D] out.

    ``cu_seq_lens_q`` [S + 1] separates the sequences. ValueError without it, with a mask, or when a
    sequence is longer than the model's sliding window.
    """
    if cu_seq_lens_q is None or attention_mask is not None or query.shape[0] != 1:
        raise ValueError("packed_sdpa wants one packed row with cu_seq_lens_q and no mask")
    lengths = cu_seq_lens_q.diff().tolist()
    if sliding_window is not None and max(lengths) > sliding_window:
        raise ValueError(f"a sequence of {max(lengths)} exceeds the window of {sliding_window}")
    parts = [
        scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=True
        )
        for q, k, v in zip(
            torch.split(query, lengths, dim=2),
            torch.split(key, lengths, dim=2),
            torch.split(value, lengths, dim=2),
            strict=True,
        )
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


AttentionInterface.register(PACKED_SDPA, packed_sdpa)
