"""The start-up self-check: how may this model be run, so that it gives what transformers gives?

Three short sequences, two of them siblings, are run alone through the model's own forward pass, as
transformers would, and then packed, padded and one by one. The first way whose log-probabilities
agree is taken. Packed rows fail where layers mix tokens outside of an attention function (linear
attention, convolutions, state spaces, ALiBi), padded ones where the filling is seen.

Weights are compared in float32, which a bfloat16 model is widened to and taken back exactly; a
model too large for that is compared up to its own rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from rankers.errors import UserError
from rlpost.batch.packing import Layout, Rows, TokenBatch
from rlpost.learner.decoder import CausalLM, Decoder, own_forward, sequences
from rlpost.learner.output_head import OutputHead, fitted
from rlpost.learner.precision import widened
from rlpost.learner.probe import neighbours_changed, probe, unchanged
from rlpost.learner.sequence_limits import rope_length, shrunk, window_length

SHORT = 6
"""Tokens of a window that short sequences are to show."""
FLOOR = {torch.float64: 1e-5, torch.float32: 1e-5}
"""Nats by which ways may differ although no rounding was measured, by dtype."""
FLOOR_ROUNDED = 0.02
NOISE_FACTOR = 10.0
"""Matrices of other shapes are rounded otherwise: ways may differ by this many measured noises."""
CUT = 3
"""Tokens that a sequence is shortened by to measure rounding."""
MOST_NOISE = 1e-3
"""Nats that plain attention may differ by and still be the same function, rounded otherwise."""
ROUNDINGS = 4.0
"""Roundings between an output matrix and the logits of a model."""
SEES_AHEAD = 100.0
"""Floors by which tokens that follow may change a model's answers before it is not causal."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the self-check found out about a model."""

    head: OutputHead
    layout: Layout
    why: str = ""
    """Why rows are not packed; empty when they are."""


class _Said(NamedTuple):
    """The model's own answer to the probe, each sequence alone, at the completion tokens."""

    hidden_T_D: Tensor
    logits_T_V: Tensor
    logprobs_T: Tensor


def prove(model: CausalLM, decoder: Decoder) -> Proof:
    """The output head and the rows that are right for ``model``.

    Raises UserError when there are none: the learner would train another model than the one that
    is served.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise UserError(
            f"the output head is {type(head).__name__}, not a plain matrix: "
            "leave it out of lora.target_modules, or use another model"
        )
    module = cast(nn.Module, model)
    with torch.no_grad(), _evaluating(module), widened(module):
        return _Check(model, decoder, head).proof()


class _Check:
    def __init__(self, model: CausalLM, decoder: Decoder, head: nn.Linear) -> None:
        self._model, self._decoder, self._module = model, decoder, head
        self._batch = probe(head.weight.shape[0], device=head.weight.device)
        self._own = self._said()
        noise = self._noise()
        floor = FLOOR.get(head.weight.dtype, FLOOR_ROUNDED)
        if not noise <= SEES_AHEAD * floor:
            raise self._refusal("a token's probability changes with the tokens that follow it")
        self._tolerance = max(floor, NOISE_FACTOR * noise)
        self._head = self._fitted()

    def proof(self) -> Proof:
        troubles: list[str] = []
        for rows in cast("tuple[Rows, ...]", ("packed", "padded", "alone")):
            trouble = self._trouble(rows, self._own.logprobs_T)
            if not trouble:
                return Proof(self._head, self._layout(rows), *troubles[:1])
            troubles.append(trouble)
        raise self._refusal(f"rows packed, padded and alone fail, the last as {troubles[-1]}")

    def _layout(self, rows: Rows) -> Layout:
        """``rows``, up to the length that short sequences prove something about."""
        config = self._model.config
        window, rope = window_length(config), rope_length(config)
        if rows == "alone" or window is None or self._honours_windows(rows):
            window = None
        if rows == "alone" or (window is None and rope is None):
            return Layout(rows=rows)
        longest = min(length for length in (window, rope) if length is not None)
        beyond: Rows = "padded" if rows == "packed" and rope is None else "alone"
        return Layout(rows=rows, longest=longest, beyond=beyond)

    def _honours_windows(self, rows: Rows) -> bool:
        """Whether windows, made short for a moment, change rows as they change the model alone."""
        with shrunk(cast(nn.Module, self._model), length=SHORT):
            try:
                own_T = self._said().logprobs_T
            except UserError:
                return False
            is_seen = _gap(own_T, self._own.logprobs_T) > self._tolerance
            return is_seen and not self._trouble(rows, own_T)

    def _trouble(self, rows: Rows, own_T: Tensor) -> str:
        """What is wrong with rows of that kind; nothing when all is right."""
        try:
            got_T = self._read(self._batch, rows)
        except Exception as error:
            return f"its code does not take them ({_told(error)})"
        gap = _gap(got_T, own_T)
        if not gap <= self._tolerance:
            return f"they change its log-probabilities by up to {gap:.2g} nats"
        if rows == "alone" or self._module.weight.dtype in FLOOR:
            return ""
        # What rounding might hide: only neighbours change, and no number may follow them.
        moved_T = self._read(neighbours_changed(self._batch), rows)
        moved = _gap(unchanged(moved_T), unchanged(got_T))
        if not moved <= self._tolerance / NOISE_FACTOR:
            return f"they let sequences change each other by up to {moved:.2g} nats"
        return ""

    def _read(self, batch: TokenBatch, rows: Rows) -> Tensor:
        hidden_T_D = self._decoder.run(batch, rows)
        return self._head.logprobs(hidden_T_D, batch.targets_T, temperature=1.0)[0]

    def _said(self) -> _Said:
        parts = [self._whole(ids, prompt) for ids, prompt in sequences(self._batch)]
        hidden, logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return _Said(hidden, logits, _at(logits, self._batch.targets_T))

    def _whole(
        self, ids: Tensor, prompt: int, *, attention: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hidden states and logits that predict a completion, by the model's own forward pass."""
        try:
            hidden, logits = own_forward(self._model, self._decoder, ids, attention=attention)
        except Exception as error:
            raise self._refusal(f"transformers fails to run it ({_told(error)})") from error
        return hidden[prompt - 1 : -1], logits[prompt - 1 : -1]

    def _noise(self) -> float:
        """What rounding alone does: the same tokens in a shorter sequence, and plain attention."""
        ids, prompt = next(sequences(self._batch))
        targets = ids[prompt:]
        whole_T = self._own.logprobs_T[: len(targets)]
        _, logits = self._whole(ids[:-CUT], prompt)
        noise = _gap(_at(logits, targets[:-CUT]), whole_T[:-CUT])
        if self._decoder.own_attention == "sdpa":
            _, logits = self._whole(ids, prompt, attention="eager")
            plain = _gap(_at(logits, targets), whole_T)
            # More than rounding: a model that does not compute the same with it.
            noise = max(noise, plain if plain < MOST_NOISE else 0.0)
        return noise

    def _fitted(self) -> OutputHead:
        # The model rounds its logits, after each of a factor and a cap; the head does not.
        largest = float(self._own.logits_T_V.abs().max())
        rounding = ROUNDINGS * torch.finfo(self._own.logits_T_V.dtype).eps * largest
        head = fitted(
            self._module,
            self._own.hidden_T_D,
            self._own.logits_T_V,
            config=self._model.config,
            tolerance=max(self._tolerance, rounding),
        )
        if head is None:
            raise self._refusal(
                "its logits are more than its output matrix times its last hidden state with a "
                "bias, a factor and a soft cap"
            )
        return head

    def _refusal(self, why: str) -> UserError:
        name = type(self._model).__name__
        return UserError(f"{name} cannot be trained here: {why}; use another model")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, nothing is dropped."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _at(logits_T_V: Tensor, targets_T: Tensor) -> Tensor:
    wide = logits_T_V.to(torch.promote_types(logits_T_V.dtype, torch.float32))
    return wide.log_softmax(-1).gather(1, targets_T[:, None])[:, 0]


def _gap(a_T: Tensor, b_T: Tensor) -> float:
    """NaN when a number is."""
    return float((a_T - b_T).abs().max())


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
