"""Diagnostics of one optimizer step, summed over the completion tokens of its micro-batches."""

from __future__ import annotations

import torch
from torch import Tensor

from rlpost.batching import TokenBatch
from rlpost.kl import k3
from rlpost.losses import log_ratio


class TokenStats:
    """Accumulates micro-batches; ``report`` names are those of ``rlpost.metrics.METRICS``."""

    def __init__(self) -> None:
        self._tokens = 0
        self._sums: dict[str, float] = {}
        self._least = float("inf")
        self._largest = 0.0

    def add(
        self, logprobs_T: Tensor, entropy_T: Tensor, batch: TokenBatch, gradient_T: Tensor
    ) -> None:
        """``gradient_T`` is the objective's: 0 at a token with credit means it was clipped."""
        sampled = batch.sampled
        log_ratio_T = log_ratio(logprobs_T, batch.sampled.behaviour_T).double()
        ratio_T = log_ratio_T.exp()
        clipped_T = (gradient_T == 0) & (sampled.advantages_T != 0)
        means = {
            "entropy": entropy_T,
            "ratio/mean": ratio_T,
            "kl/behaviour": ratio_T - 1 - log_ratio_T,
            "clip_ratio/low": clipped_T & (sampled.advantages_T < 0),
            "clip_ratio/high": clipped_T & (sampled.advantages_T > 0),
        }
        if sampled.reference_T is not None:
            means["kl/reference"] = k3(logprobs_T, sampled.reference_T)
        if sampled.weights_T is not None:
            means["correction/kept"] = sampled.weights_T > 0
            means["correction/weight"] = sampled.weights_T
        for name, values_T in means.items():
            share = float(values_T.sum(dtype=torch.float64))
            self._sums[name] = self._sums.get(name, 0.0) + share
        self._tokens += len(logprobs_T)
        self._least = min(self._least, float(ratio_T.min()))
        self._largest = max(self._largest, float(ratio_T.max()))

    def report(self) -> dict[str, float]:
        """Means over all tokens added, and the extremes; empty when there were none."""
        if not self._tokens:
            return {}
        means = {name: total / self._tokens for name, total in self._sums.items()}
        return {**means, "ratio/min": self._least, "ratio/max": self._largest}
