"""Diagnostics of one optimizer step, summed over the completion tokens of its micro-batches."""

from __future__ import annotations

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.learner.algorithm import Loss
from rlpost.learner.data_parallel import Ranks
from rlpost.objective.aggregation import Totals
from rlpost.objective.clipping import CAP, HIGH, LOW, REGION, Clips
from rlpost.objective.kl import k3
from rlpost.objective.losses import log_ratio

MEANS = (
    "entropy",
    "ratio/mean",
    "kl/behaviour",
    "kl/reference",
    "mismatch/k1",
    "mismatch/k3",
    "sequence_mask/kept",
)
CLIPPED = (LOW, HIGH, REGION, CAP)
LARGEST = ("ratio/max", "-ratio/min", "mismatch/max")


class TokenStats:
    """Accumulates micro-batches; ``report`` names are in ``rlpost.tracking.metrics.METRICS``."""

    def __init__(self, clips: Clips | None = None) -> None:
        self._clips = clips
        self._clipped = torch.zeros(len(CLIPPED), dtype=torch.float64)
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
    ) -> None:
        """A micro-batch of this rank."""
        log_ratio_T = log_ratio(logprobs_T, sampled.behaviour_T).double()
        ratio_T = log_ratio_T.exp()
        k3_T = torch.expm1(log_ratio_T) - log_ratio_T
        values: dict[str, Tensor | None] = {
            "entropy": entropy_T,
            "ratio/mean": ratio_T,
            "kl/behaviour": k3_T,
            "kl/reference": (
                None if sampled.reference_T is None else k3(logprobs_T, sampled.reference_T)
            ),
            "mismatch/k1": -log_ratio_T,
            "mismatch/k3": k3_T,
            "sequence_mask/kept": loss.sequence_mask_T,
        }
        for place, name in enumerate(MEANS):
            value_T = values[name]
            if value_T is not None:
                self._sums[place] += float(value_T.sum(dtype=torch.float64))
                self._counts[place] += len(value_T)
        if self._clips is not None:
            counts = self._clips.counts(logprobs_T, sampled)
            for name, number in counts.items():
                self._clipped[CLIPPED.index(name)] += number
        largest = [ratio_T.max(), -ratio_T.min(), log_ratio_T.abs().max()]
        self._largest = torch.maximum(self._largest, torch.stack(largest).cpu())
        self._loss += float(loss.total.detach())

    def add_up(self, ranks: Ranks) -> None:
        """From this rank's micro-batches to those of all ranks."""
        ranks.add([self._loss, self._sums, self._counts, self._clipped])
        ranks.most(self._largest)

    def report(self, totals: Totals) -> dict[str, float]:
        """The loss, means over all tokens added, clipped shares of ``totals``, the extremes."""
        clipped = dict(zip(CLIPPED, self._clipped.tolist(), strict=True))
        largest = dict(zip(LARGEST, self._largest.tolist(), strict=True))
        means = zip(MEANS, self._sums.tolist(), self._counts.tolist(), strict=True)
        return {
            "loss/policy": self.loss,
            **{name: total / count for name, total, count in means if count},
            **({} if self._clips is None else self._clips.shares(clipped, totals)),
            "ratio/max": largest["ratio/max"],
            "ratio/min": -largest["-ratio/min"],
            "mismatch/max": largest["mismatch/max"],
        }
