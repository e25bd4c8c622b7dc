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
        scratch = _Scratch(head, rows=min(chunk, len(targets)))
        norm_T, logprobs_T, entropy_T = scratch.wide.new_empty(3, len(targets)).unbind()
        for rows in _chunks(len(targets), chunk):
            logits, weights = scratch.logits(hidden[rows], scale), scratch.spare(rows)
            peak = logits.amax(dim=1)
            logits.sub_(peak[:, None])
            mass = torch.exp(logits, out=weights).sum(dim=1)
            logprobs_T[rows] = logits.gather(1, targets[rows, None])[:, 0] - mass.log()
            entropy_T[rows] = mass.log() - weights.mul_(logits).sum(dim=1) / mass
            norm_T[rows] = peak + mass.log()
        ctx.save_for_backward(hidden, head, targets, norm_T, entropy_T)
        ctx.scale, ctx.chunk = scale, chunk
        ctx.set_materialize_grads(False)
        return logprobs_T, entropy_T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """d logprob / dz_v = [v = target] - p_v;  d entropy / dz_v = -p_v (log p_v + H)."""
        hidden, head, targets, norm_T, entropy_T = ctx.saved_tensors
        grad_logprob_T, grad_entropy_T = grads
        if grad_logprob_T is None:
            grad_logprob_T = torch.zeros_like(norm_T)
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_head = torch.zeros_like(head, dtype=norm_T.dtype) if wants_head else None
        scratch = _Scratch(head, rows=min(ctx.chunk, len(targets)))
        for rows in _chunks(len(targets), ctx.chunk):
            logp = scratch.logits(hidden[rows], ctx.scale).sub_(norm_T[rows, None])
            grad = torch.exp(logp, out=scratch.spare(rows))
            if grad_entropy_T is None:
                grad.mul_(-grad_logprob_T[rows, None])
            else:
                logp.add_(entropy_T[rows, None]).mul_(grad_entropy_T[rows, None])
                grad.mul_(logp.add_(grad_logprob_T[rows, None]).neg_())
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


class _Scratch:
    """Buffers that all chunks share: allocating them anew fragments the heap into gigabytes."""

    def __init__(self, head: Tensor, *, rows: int) -> None:
        self._head = head
        self._narrow = head.new_empty(rows, head.shape[0])
        wide = torch.promote_types(head.dtype, torch.float32)
        self.wide = self._narrow if wide == head.dtype else self._narrow.to(wide)
        self._spare = torch.empty_like(self.wide)

    def logits(self, hidden: Tensor, scale: float) -> Tensor:
        """``hidden @ head.T * scale``, at least in float32, valid until the next call."""
        narrow, wide = self._narrow[: len(hidden)], self.wide[: len(hidden)]
        torch.mm(hidden.to(narrow.dtype), self._head.T, out=narrow)
        if self.wide is not self._narrow:
            wide.copy_(narrow)
        return wide.mul_(scale)

    def spare(self, rows: slice) -> Tensor:
        """A second buffer for the chunk ``rows``."""
        return self._spare[: rows.stop - rows.start]


def _chunks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
