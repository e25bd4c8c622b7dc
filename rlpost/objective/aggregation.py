"""Aggregation: how token losses become one number. Denominators belong to the whole step and are
passed in.

An aggregation is the weight of each token, given what the step holds in all its micro-batches and
ranks; the loss of a micro-batch is its weighted sum, and the micro-batches of a step add up to the
step's loss whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.batch.segment_ops import spread
from rlpost.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What one optimizer step trains on, over all micro-batches and ranks."""

    tokens: int
    sequences: int
    runs: int = 1
    """Runs of tokens that share an importance ratio: ranks, and what is in no list."""

    @classmethod
    def of(cls, lengths: Iterable[int], *, runs: int | None = None) -> Totals:
        """Totals of the sequences with ``lengths`` completion tokens, by default a run each; a
        sequence of none counts as a sequence.
        """
        counted = list(lengths)
        sequences = max(len(counted), 1)
        return cls(
            tokens=max(sum(counted), 1),
            sequences=sequences,
            runs=sequences if runs is None else max(runs, 1),
        )


def totals_of(samples: Sequence[Sample]) -> Totals:
    """What the samples of one optimizer step add up to."""
    runs = sum(max(len(sample.segments_R), 1) for sample in samples)
    return Totals.of((len(sample.completion_ids) for sample in samples), runs=runs)


Aggregation = Callable[[SampledTokens, Totals], Tensor]
"""(sampled, totals) -> weights_T."""


def token_mean(sampled: SampledTokens, totals: Totals) -> Tensor:
    """Every token of the step weighs the same (DAPO, arXiv 2503.14476, eq. 8)."""
    return _equal(sampled, 1 / totals.tokens)


def sequence_mean(sampled: SampledTokens, totals: Totals) -> Tensor:
    """Every sequence weighs the same, its tokens share its weight (GRPO, arXiv 2402.03300)."""
    each_S = 1 / (sampled.counts_S.clamp(min=1).double() * totals.sequences)
    return spread(each_S, sampled.lengths_S)


def sequence_sum(sampled: SampledTokens, totals: Totals) -> Tensor:
    """Token losses are summed in a sequence, then averaged over sequences (LUSPO, verl's
    seq-mean-token-sum).
    """
    return _equal(sampled, 1 / totals.sequences)


def constant(sampled: SampledTokens, totals: Totals, *, length: int) -> Tensor:
    """As ``sequence_sum``, divided by a fixed length: Dr. GRPO (arXiv 2503.20783); use the longest
    completion.
    """
    return _equal(sampled, 1 / (totals.sequences * length))


def rank_mean(sampled: SampledTokens, totals: Totals) -> Tensor:
    """Every rank weighs the same, its tokens share its weight (Rank-GRPO, arXiv 2510.20150).

    The end of the turn and text outside the list weigh as much as a rank each; a sequence that is
    no list is one run.
    """
    lengths_R = sampled.lengths_R
    return spread(1 / (lengths_R.clamp(min=1).double() * totals.runs), lengths_R)


AGGREGATIONS: dict[str, Callable[..., Tensor]] = {
    "token_mean": token_mean,
    "sequence_mean": sequence_mean,
    "sequence_sum": sequence_sum,
    "constant": constant,
    "rank_mean": rank_mean,
}


def weighted_sum(loss_T: Tensor, weights_T: Tensor) -> Tensor:
    """This micro-batch's share [] of the loss of the step."""
    return (loss_T * weights_T.to(loss_T.dtype)).sum()


def _equal(sampled: SampledTokens, weight: float) -> Tensor:
    return torch.full_like(sampled.old_T, weight, dtype=torch.float64)
