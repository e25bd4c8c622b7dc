"""The output head as a matrix and what the model makes of its product: scale and soft cap.

Models differ between the last state and the logits: Cohere, Granite and Falcon-H1 multiply, MiniCPM
divides, Gemma 2 caps, Phi adds a bias. What one does is read off its own logits, not off the names
of its settings: the factor by least squares, the cap among the caps that its configuration names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlpost.batch.chunked_logprobs import Shape, token_logprobs

SATURATED = 0.98
"""Part of the cap above which a capped logit no longer tells its factor."""
NEAR = {torch.float64: 1e-6, torch.float32: 1e-4}
"""How near a measured factor must be to a setting of the model to be meant by it, by dtype."""
NEAR_ROUNDED = 1e-2


@dataclass(frozen=True, slots=True)
class OutputHead:
    """Gives log-probabilities of hidden states, never holding all logits at once."""

    module: nn.Linear
    shape: Shape

    def logprobs(
        self, hidden_T_D: Tensor, targets_T: Tensor, *, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) at ``targets_T``, in nats."""
        return token_logprobs(
            hidden_T_D,
            self.module.weight,
            targets_T,
            temperature=temperature,
            bias_V=self.module.bias,
            shape=self.shape,
        )

    def logits(self, hidden_T_D: Tensor, ids: list[int] | slice = slice(None)) -> Tensor:
        """[T, len(ids)] logits of the tokens ``ids``, by default of all, at least in float32."""
        raw = hidden_T_D.to(self.module.weight.dtype) @ self.module.weight[ids].T
        wide = raw.to(torch.promote_types(raw.dtype, torch.float32))
        if self.module.bias is not None:
            wide = wide + self.module.bias[ids]
        wide = wide * self.shape.scale
        cap = self.shape.soft_cap
        return wide if cap is None else torch.tanh(wide / cap) * cap


def fitted(
    module: nn.Linear, hidden_N_D: Tensor, logits_N_V: Tensor, *, config: Any, tolerance: float
) -> OutputHead | None:
    """The head that makes the model's own ``logits_N_V`` of ``hidden_N_D``, up to ``tolerance``
    nats of log-probability; None when no factor and no cap does.
    """
    plain = OutputHead(module, Shape())
    raw_N_V = plain.logits(hidden_N_D).double()
    if raw_N_V.shape != logits_N_V.shape:
        return None
    settings = _numbers(config.get_text_config())
    wide_N_V = logits_N_V.to(torch.promote_types(logits_N_V.dtype, torch.float32))
    target_N_V = logits_N_V.double()
    for cap in (*_caps(settings), None):
        measured = _scale(raw_N_V, target_N_V, cap)
        near = NEAR.get(logits_N_V.dtype, NEAR_ROUNDED)
        for scale in (_meant(measured, settings, near), measured):
            head = OutputHead(module, Shape(scale, cap))
            gaps = head.logits(hidden_N_D).log_softmax(-1) - wide_N_V.log_softmax(-1)
            if float(gaps.abs().max()) <= tolerance:
                return head
    return None


def _scale(raw: Tensor, logits: Tensor, cap: float | None) -> float:
    if cap is not None:
        usable = logits.abs() < SATURATED * cap
        raw, logits = raw[usable], cap * torch.atanh(logits[usable] / cap)
    return float((raw * logits).sum() / raw.square().sum().clamp(min=1e-30))


def _meant(scale: float, settings: dict[str, float], near: float) -> float:
    """The exact factor behind a measured one: 1, a setting of the model, or one over it."""
    exact = [1.0, *settings.values(), *(1 / value for value in settings.values() if value)]
    return next((x for x in exact if abs(scale - x) <= near * abs(x)), scale)


def _caps(settings: dict[str, float]) -> Iterator[float]:
    """Soft caps that the configuration names, but for those of attention scores."""
    for name, value in settings.items():
        if "cap" in name and "attn" not in name and "attention" not in name and value > 0:
            yield value


def _numbers(config: Any) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in config.to_dict().items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
