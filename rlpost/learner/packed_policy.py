"""The policy as the learner sees it: a micro-batch in, log-probabilities of its tokens out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rlpost.batch.packing import Layout, TokenBatch
from rlpost.learner.decoder import CausalLM, Decoder, own_forward, sequences
from rlpost.learner.output_head import OutputHead
from rlpost.learner.self_check import prove


class Policy(Protocol):
    """Log-probabilities of sampled tokens, in two stages so that the first can be looked at."""

    @property
    def device(self) -> torch.device: ...

    @property
    def layout(self) -> Layout:
        """How micro-batches have to be made."""
        ...

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

    def alone(self, batch: TokenBatch) -> Tensor:
        """[T] log-probabilities at temperature 1, of each sequence for itself: the reference."""
        ...


class PackedPolicy:
    """Runs a transformers causal LM on packed rows, or on padded ones where packing changes it; its
    output head is applied in chunks.
    """

    def __init__(self, model: CausalLM) -> None:
        """Checks which rows are right for ``model``, on a few dozen tokens.

        Raises UserError when none are, or when the output head is more than one matrix.
        """
        self._model = model
        self._decoder = Decoder(model)
        self._proof = prove(model, self._decoder)

    @property
    def device(self) -> torch.device:
        return self._proof.head.module.weight.device

    @property
    def layout(self) -> Layout:
        return self._proof.layout

    @property
    def head(self) -> OutputHead:
        """What turns hidden states into logits."""
        return self._proof.head

    @property
    def why_not_packed(self) -> str:
        """What packed rows would change; empty where they are right."""
        return self._proof.why

    def hidden(self, batch: TokenBatch) -> Tensor:
        """[T, D] after the final norm, at the positions that predict the completion tokens."""
        lengths = [length for block in batch.blocks for length in block.sequences]
        needed = {self.layout.of(length) for length in lengths}
        rows = next(way for way in ("alone", "padded", "packed") if way in needed)
        return self._decoder.run(batch, rows)

    def read(
        self, hidden: Tensor, batch: TokenBatch, *, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) of the completion tokens from their ``hidden`` states."""
        return self._proof.head.logprobs(hidden, batch.targets_T, temperature=temperature)

    def logits(self, hidden: Tensor, ids: list[int]) -> Tensor:
        """[T, len(ids)] logits of the tokens ``ids`` from ``hidden`` states."""
        return self._proof.head.logits(hidden, ids)

    def logprobs(self, batch: TokenBatch, *, temperature: float) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) of the batch's completion tokens at ``temperature``, in nats."""
        return self.read(self.hidden(batch), batch, temperature=temperature)

    def alone(self, batch: TokenBatch) -> Tensor:
        """[T] log-probabilities at temperature 1 by the model's own forward pass, one by one."""
        parts = []
        for ids, prompt in sequences(batch):
            _, logits = own_forward(self._model, self._decoder, ids)
            logprobs = logits[prompt - 1 : -1].float().log_softmax(-1)
            parts.append(logprobs.gather(1, ids[prompt:, None])[:, 0])
        return torch.cat(parts)


def cost_sentence(policy: Policy, *, longest: int) -> str:
    """Why ``policy`` takes longer than on packed rows, and by what; empty where it does not.

    ``longest`` is the length in tokens that no sequence exceeds.
    """
    layout = policy.layout
    if not isinstance(policy, PackedPolicy) or layout.of(longest) == "packed":
        return ""
    rows = {"padded": "padded rows", "alone": "one sequence at a time"}[layout.of(longest)]
    if layout.rows == "packed":
        which, why = (
            f"on sequences over {layout.longest} tokens ",
            "as its attention or positions change there",
        )
    else:
        which, why = "", f"not packed ones, as {policy.why_not_packed}"
    return (
        f"the learner runs {which}{rows}, {why}; every completion computes its prompt again, which "
        "siblings share on packed rows"
    )
