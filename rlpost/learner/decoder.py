"""The body of a causal language model, run on a micro-batch: packed, padded or one by one.

All three give the state behind the final norm at the positions that predict completion tokens, in
the batch's order. Packed rows go through ``packed_sdpa``; the others through the model's own
attention, filled up on the right, where a model that reads from left to right never looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rlpost.batch.packed_attention import PACKED_SDPA, AttentionChoice
from rlpost.batch.packing import Rows, TokenBatch


class CausalLM(Protocol):
    """What is used of a transformers causal language model."""

    base_model: nn.Module
    config: Any

    def get_output_embeddings(self) -> nn.Module: ...


class Decoder:
    """A model without its output head."""

    def __init__(self, model: CausalLM) -> None:
        whole = cast(nn.Module, model)
        body = model.base_model
        # Some classes have another prefix than their checkpoint, and are their own base model.
        self.module = body if body is not whole else _body_inside(whole)
        self.attention = AttentionChoice(whole)
        self.own_attention: str = model.config._attn_implementation or "eager"

    def run(self, batch: TokenBatch, rows: Rows) -> Tensor:
        """[T, D] after the final norm, at the positions that predict the completion tokens."""
        if rows == "packed":
            return self._packed(batch)
        with self.attention(self.own_attention):
            return self._padded(batch) if rows == "padded" else self._alone(batch)

    def _packed(self, batch: TokenBatch) -> Tensor:
        with self.attention(PACKED_SDPA):
            output = self.module(
                input_ids=batch.input_ids_L[None],
                position_ids=batch.position_ids_L[None],
                use_cache=False,
                blocks=batch.blocks,
            )
        hidden_T_D: Tensor = output[0][0, batch.sources_T]
        return hidden_T_D

    def _padded(self, batch: TokenBatch) -> Tensor:
        rows = list(sequences(batch))
        mask = [torch.ones_like(ids) for ids, _ in rows]
        output = self.module(
            input_ids=pad_sequence([ids for ids, _ in rows], batch_first=True),
            attention_mask=pad_sequence(mask, batch_first=True),
            use_cache=False,
        )
        pairs = zip(output[0], rows, strict=True)
        return torch.cat([states[prompt - 1 : len(ids) - 1] for states, (ids, prompt) in pairs])

    def _alone(self, batch: TokenBatch) -> Tensor:
        return torch.cat(
            [
                self.module(input_ids=ids[None], use_cache=False)[0][0, prompt - 1 : -1]
                for ids, prompt in sequences(batch)
            ]
        )


def _body_inside(model: nn.Module) -> nn.Module:
    found = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    return found[0] if found else model


def own_forward(
    model: CausalLM, decoder: Decoder, ids: Tensor, *, attention: str | None = None
) -> tuple[Tensor, Tensor]:
    """Hidden states [L, D] and logits [L, V] of one sequence, as transformers computes them."""
    caught: list[Tensor] = []
    hook = decoder.module.register_forward_hook(lambda *call: caught.append(call[-1][0]))
    with decoder.attention(attention or decoder.own_attention):
        try:
            logits = cast(Any, model)(input_ids=ids[None], use_cache=False).logits[0]
        finally:
            hook.remove()
        # Some models call what is inside of their body, and not the body.
        hidden = caught[-1] if caught else decoder.module(input_ids=ids[None], use_cache=False)[0]
    return hidden[0], logits


def sequences(batch: TokenBatch) -> Iterator[tuple[Tensor, int]]:
    """Token ids of each sequence of the batch, and how many of them are its prompt."""
    start = 0
    for block in batch.blocks:
        prompt, *completions = torch.split(
            batch.input_ids_L[start : start + block.length], [block.prompt, *block.completions]
        )
        for completion in completions:
            yield torch.cat((prompt, completion)), block.prompt
        start += block.length
