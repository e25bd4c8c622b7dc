"""Log-probabilities and entropies of given tokens without ever holding the logits of all of them.

[T, V] logits of 4,000 tokens at a vocabulary of 150,000 are 2.4 GB in float32, and a softmax needs
several times that. Here tokens go through the output head in chunks, forward and again backward; a
chunk's logits are the only ones that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 22
"""Logits of one chunk: 16 MB in float32."""


def token_logprobs(
    hidden_T_D: Tensor,
    head_V_D: Tensor,
    targets_T: Tensor,
    *,
    temperature: float = 1.0,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """``log softmax(hidden @ head.T / temperature)`` at ``targets_T``, and the entropy, in nats.

    Returns (logprobs_T, entropy_T), at least in float32; both are differentiable in ``hidden_T_D``
    and ``head_V_D``.
    """
    chunk = max(1, chunk_elements // head_V_D.shape[0])
    result: tuple[Tensor, Tensor] = _ChunkedLogprobs.apply(
        hidden_T_D, head_V_D, targets_T, 1 / temperature, chunk
    )  # type: ignore[no-untyped-call]
    return result


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, scale: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        norms, chosen, entropies = [], [], []
        for rows in _chunks(len(targets), chunk):
            logits = _logits(hidden[rows], head, scale)
            norm = logits.logsumexp(dim=1)
            chosen.append(logits.gather(1, targets[rows, None])[:, 0] - norm)
            norms.append(norm)
            # H = log Z - sum p * z, with the logits' own buffer reused for p.
            expected = torch.einsum("tv,tv->t", (logits - norm[:, None]).exp_(), logits)
            entropies.append(norm - expected)
        empty = hidden.new_zeros(0, dtype=_wide(hidden.dtype))
        norm_T, logprobs_T, entropy_T = (torch.cat([empty, *p]) for p in (norms, chosen, entropies))
        ctx.save_for_backward(hidden, head, targets, norm_T, entropy_T)
        ctx.scale, ctx.chunk = scale, chunk
        ctx.set_materialize_grads(False)
        return logprobs_T, entropy_T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """d logprob / dz_v = [v = target] - p_v;  d entropy / dz_v = -p_v (log p_v + H)."""
        hidden, head, targets, norm_T, entropy_T = ctx.saved_tensors
        grad_logprob_T, grad_entropy_T = grads
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_head = torch.zeros_like(head, dtype=norm_T.dtype) if wants_head else None
        for rows in _chunks(len(targets), ctx.chunk):
            logp = _logits(hidden[rows], head, ctx.scale).sub_(norm_T[rows, None])
            weight = norm_T.new_zeros(len(logp), 1)
            if grad_logprob_T is not None:
                weight = weight - grad_logprob_T[rows, None]
            if grad_entropy_T is None:
                grad = logp.exp_().mul_(weight)
            else:
                bonus = (logp + entropy_T[rows, None]).mul_(-grad_entropy_T[rows, None])
                grad = bonus.add_(weight).mul_(logp.exp_())
            if grad_logprob_T is not None:
                grad.scatter_add_(1, targets[rows, None], grad_logprob_T[rows, None])
            grad = grad.mul_(ctx.scale).to(head.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = (grad @ head).to(hidden.dtype)
            if grad_head is not None:
                grad_head += grad.T @ hidden[rows].to(head.dtype)
        return (
            grad_hidden,
            None if grad_head is None else grad_head.to(head.dtype),
            None,
            None,
            None,
        )


def _chunks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, start + size)


def _logits(hidden: Tensor, head: Tensor, scale: float) -> Tensor:
    logits = hidden.to(head.dtype) @ head.T
    return logits.to(_wide(logits.dtype)).mul_(scale)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
