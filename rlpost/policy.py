"""The policy as the learner sees it: a packed micro-batch in, log-probabilities of its sampled
tokens out.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from rlpost.attention import PACKED_SDPA
from rlpost.batching import TokenBatch
from rlpost.errors import UserError
from rlpost.logprobs import token_logprobs


class Policy(Protocol):
    """Log-probabilities of sampled tokens, in two stages so that the first can be looked at."""

    @property
    def device(self) -> torch.device: ...

    def hidden(self, batch: TokenBatch) -> Tensor:
        """What ``read`` needs of the network; for a language model, a row per completion token."""
        ...

    def read(
        self, hidden: Tensor, batch: TokenBatch, *, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) of the completion tokens, in nats."""
        ...

    def logprobs(self, batch: TokenBatch, *, temperature: float) -> tuple[Tensor, Tensor]:
        """``read`` of ``hidden``."""
        ...


class CausalLM(Protocol):
    """What is used of a transformers causal language model."""

    base_model: nn.Module

    def get_output_embeddings(self) -> nn.Module: ...
    def set_attn_implementation(self, name: str) -> None: ...


class PackedPolicy:
    """Runs a transformers causal LM on packed rows; its output head is applied in chunks."""

    def __init__(self, model: CausalLM) -> None:
        """Raises UserError when the output head is more than one matrix."""
        head = model.get_output_embeddings()
        if type(head) is not nn.Linear or head.bias is not None:
            raise UserError(
                f"the output head is {type(head).__name__}, not a plain bias-free matrix: "
                "leave it out of lora.target_modules, or use another model"
            )
        model.set_attn_implementation(PACKED_SDPA)
        self._decoder: nn.Module = model.base_model
        self._head: nn.Linear = head

    @property
    def device(self) -> torch.device:
        return self._head.weight.device

    def hidden(self, batch: TokenBatch) -> Tensor:
        """[T, D] after the final norm, at the positions that predict the completion tokens."""
        output = self._decoder(
            input_ids=batch.input_ids_L[None],
            position_ids=batch.position_ids_L[None],
            use_cache=False,
            blocks=batch.blocks,
        )
        hidden_T_D: Tensor = output.last_hidden_state[0, batch.sources_T]
        return hidden_T_D

    def read(
        self, hidden: Tensor, batch: TokenBatch, *, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) of the completion tokens from their ``hidden`` states."""
        return token_logprobs(hidden, self._head.weight, batch.targets_T, temperature=temperature)

    def logprobs(self, batch: TokenBatch, *, temperature: float) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) of the batch's completion tokens at ``temperature``, in nats."""
        return self.read(self.hidden(batch), batch, temperature=temperature)
