"""Diagnostics of one optimizer step, summed over the completion tokens of its micro-batches."""

from __future__ import annotations

import torch
from torch import Tensor

from rlpost.algorithm import Loss
from rlpost.data_parallel import Ranks
from rlpost.kl import k3
from rlpost.losses import log_ratio
from rlpost.sampled import SampledTokens

MEANS = (
    "entropy",
    "ratio/mean",
    "kl/behaviour",
    "kl/reference",
    "mismatch/k1",
    "mismatch/k3",
    "clip_ratio/low",
    "clip_ratio/high",
    "sequence_mask/kept",
)
LARGEST = ("ratio/max", "-ratio/min", "mismatch/max")


class TokenStats:
    """Accumulates micro-batches; ``report`` names are those of ``rlpost.metrics.METRICS``."""

    def __init__(self) -> None:
        self._loss = torch.zeros(1, dtype=torch.float64)
        self._sums = torch.zeros(len(MEANS), dtype=torch.float64)
        self._counts = torch.zeros(len(MEANS), dtype=torch.float64)
        self._largest = torch.full((len(LARGEST),), -torch.inf, dtype=torch.float64)

    @property
    def loss(self) -> float:
        return float(self._loss)

    def add(
        self,
        logprobs_T: Tensor,
        entropy_T: Tensor,
        sampled: SampledTokens,
        loss: Loss,
        gradient_T: Tensor,
    ) -> None:
        """``gradient_T`` is the objective's: 0 at a token with credit means it was clipped."""
        log_ratio_T = log_ratio(logprobs_T, sampled.behaviour_T).double()
        ratio_T = log_ratio_T.exp()
        k3_T = torch.expm1(log_ratio_T) - log_ratio_T
        clipped_T = (gradient_T == 0) & (sampled.advantages_T != 0)
        values: dict[str, Tensor | None] = {
            "entropy": entropy_T,
            "ratio/mean": ratio_T,
            "kl/behaviour": k3_T,
            "kl/reference": (
                None if sampled.reference_T is None else k3(logprobs_T, sampled.reference_T)
            ),
            "mismatch/k1": -log_ratio_T,
            "mismatch/k3": k3_T,
            "clip_ratio/low": clipped_T & (sampled.advantages_T < 0),
            "clip_ratio/high": clipped_T & (sampled.advantages_T > 0),
            "sequence_mask/kept": loss.near_T,
        }
        for place, name in enumerate(MEANS):
            value_T = values[name]
            if value_T is not None:
                self._sums[place] += float(value_T.sum(dtype=torch.float64))
                self._counts[place] += len(value_T)
        largest = [ratio_T.max(), -ratio_T.min(), log_ratio_T.abs().max()]
        self._largest = torch.maximum(self._largest, torch.stack(largest).cpu())
        self._loss += float(loss.total.detach())

    def add_up(self, ranks: Ranks) -> None:
        """From this rank's micro-batches to those of all ranks."""
        ranks.add([self._loss, self._sums, self._counts])
        ranks.most(self._largest)

    def report(self) -> dict[str, float]:
        """The loss, means over all tokens added, and the extremes."""
        largest = dict(zip(LARGEST, self._largest.tolist(), strict=True))
        means = zip(MEANS, self._sums.tolist(), self._counts.tolist(), strict=True)
        return {
            "loss/policy": self.loss,
            **{name: total / count for name, total, count in means if count},
            "ratio/max": largest["ratio/max"],
            "ratio/min": -largest["-ratio/min"],
            "mismatch/max": largest["mismatch/max"],
        }
