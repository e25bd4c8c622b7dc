"""Log-probabilities and entropies of given tokens without ever holding the logits of all of them.

[T, V] logits of 4,000 tokens at a vocabulary of 150,000 are 2.4 GB in float32, and a softmax needs
several times that. Here tokens go through the output head in chunks, forward and again backward; a
chunk's logits are the only ones that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 22
"""Logits of one chunk: 16 MB in float32."""


class Shape(NamedTuple):
    """What becomes of ``hidden @ head.T + bias``: multiplied by ``scale``, then softly capped."""

    scale: float = 1.0
    soft_cap: float | None = None
    """Logits stay within +-this by cap * tanh(z / cap) (Gemma 2, arXiv 2408.00118); None: free."""


PLAIN = Shape()


def token_logprobs(
    hidden_T_D: Tensor,
    head_V_D: Tensor,
    targets_T: Tensor,
    *,
    temperature: float = 1.0,
    chunk_elements: int = CHUNK_ELEMENTS,
    bias_V: Tensor | None = None,
    shape: Shape = PLAIN,
) -> tuple[Tensor, Tensor]:
    """``log softmax(logits / temperature)`` at ``targets_T``, and the entropy, in nats; the logits
    are ``hidden @ head.T + bias`` in ``shape``.

    Returns (logprobs_T, entropy_T), at least in float32; both are differentiable in ``hidden_T_D``,
    ``head_V_D`` and ``bias_V``.
    """
    chunk = max(1, chunk_elements // head_V_D.shape[0])
    result: tuple[Tensor, Tensor] = _ChunkedLogprobs.apply(
        hidden_T_D, head_V_D, bias_V, targets_T, shape, 1 / temperature, chunk
    )  # type: ignore[no-untyped-call]
    return result


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        shape: Shape,
        sharpness: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        scratch = _Scratch(head, bias, shape, sharpness, rows=min(chunk, len(targets)))
        norm_T, logprobs_T, entropy_T = scratch.wide.new_empty(3, len(targets)).unbind()
        for rows in _chunks(len(targets), chunk):
            logits, weights = scratch.logits(hidden[rows]), scratch.spare(rows)
            peak = logits.amax(dim=1)
            logits.sub_(peak[:, None])
            mass = torch.exp(logits, out=weights).sum(dim=1)
            logprobs_T[rows] = logits.gather(1, targets[rows, None])[:, 0] - mass.log()
            entropy_T[rows] = mass.log() - weights.mul_(logits).sum(dim=1) / mass
            norm_T[rows] = peak + mass.log()
        ctx.save_for_backward(hidden, head, bias, targets, norm_T, entropy_T)
        ctx.shape, ctx.sharpness, ctx.chunk = shape, sharpness, chunk
        ctx.set_materialize_grads(False)
        return logprobs_T, entropy_T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """d logprob / dz_v = [v = target] - p_v;  d entropy / dz_v = -p_v (log p_v + H)."""
        hidden, head, bias, targets, norm_T, entropy_T = ctx.saved_tensors
        grad_logprob_T, grad_entropy_T = grads
        if grad_logprob_T is None:
            grad_logprob_T = torch.zeros_like(norm_T)
        wants_hidden, wants_head, wants_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_head = torch.zeros_like(head, dtype=norm_T.dtype) if wants_head else None
        grad_bias = torch.zeros_like(bias, dtype=norm_T.dtype) if wants_bias else None
        scratch = _Scratch(head, bias, ctx.shape, ctx.sharpness, rows=min(ctx.chunk, len(targets)))
        for rows in _chunks(len(targets), ctx.chunk):
            logits = scratch.logits(hidden[rows])
            slope = scratch.slope(logits)
            logp = logits.sub_(norm_T[rows, None])
            grad = torch.exp(logp, out=scratch.spare(rows))
            if grad_entropy_T is None:
                grad.mul_(-grad_logprob_T[rows, None])
            else:
                logp.add_(entropy_T[rows, None]).mul_(grad_entropy_T[rows, None])
                grad.mul_(logp.add_(grad_logprob_T[rows, None]).neg_())
            grad.scatter_add_(1, targets[rows, None], grad_logprob_T[rows, None])
            grad = grad.mul_(slope).to(head.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = (grad @ head).to(hidden.dtype)
            if grad_head is not None:
                grad_head += grad.T @ hidden[rows].to(head.dtype)
            if grad_bias is not None:
                grad_bias += grad.sum(dim=0)
        return (
            grad_hidden,
            None if grad_head is None else grad_head.to(head.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
            None,
            None,
        )


class _Scratch:
    """Buffers that all chunks share: allocating them anew fragments the heap into gigabytes."""

    def __init__(
        self, head: Tensor, bias: Tensor | None, shape: Shape, sharpness: float, *, rows: int
    ) -> None:
        self._head, self._bias = head, bias
        self._shape, self._sharpness = shape, sharpness
        self._narrow = head.new_empty(rows, head.shape[0])
        wide = torch.promote_types(head.dtype, torch.float32)
        self.wide = self._narrow if wide == head.dtype else self._narrow.to(wide)
        self._spare = torch.empty_like(self.wide)

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits times the sharpness, at least in float32, valid until the next call."""
        narrow, wide = self._narrow[: len(hidden)], self.wide[: len(hidden)]
        torch.mm(hidden.to(narrow.dtype), self._head.T, out=narrow)
        if self.wide is not self._narrow:
            wide.copy_(narrow)
        if self._bias is not None:
            wide.add_(self._bias)
        cap = self._shape.soft_cap
        if cap is None:
            return wide.mul_(self._shape.scale * self._sharpness)
        return wide.mul_(self._shape.scale / cap).tanh_().mul_(cap * self._sharpness)

    def slope(self, logits: Tensor) -> Tensor | float:
        """How much those ``logits`` change with ``hidden @ head.T + bias``."""
        steepest = self._shape.scale * self._sharpness
        cap = self._shape.soft_cap
        if cap is None:
            return steepest
        return (logits / (cap * self._sharpness)).square_().neg_().add_(1).mul_(steepest)

    def spare(self, rows: slice) -> Tensor:
        """A second buffer for the chunk ``rows``."""
        return self._spare[: rows.stop - rows.start]


def _chunks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
