"""Aggregation: how token losses become one number. Denominators belong to the whole step and are
passed in.

An aggregation is the weight of one token in each sequence, given what the step holds in all its
micro-batches and ranks; the loss of a micro-batch is its weighted sum, and the micro-batches of a
step add up to the step's loss whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from rlpost.segments import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What one optimizer step trains on, over all micro-batches and ranks."""

    tokens: int
    sequences: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Totals:
        """Totals of the sequences with ``lengths`` completion tokens; a sequence of none counts as
        a sequence.
        """
        counted = list(lengths)
        return cls(tokens=max(sum(counted), 1), sequences=max(len(counted), 1))


Aggregation = Callable[[Tensor, Totals], Tensor]
"""(lengths_S, totals) -> weights_S, the weight of each token of a sequence."""


def token_mean(lengths_S: Tensor, totals: Totals) -> Tensor:
    """Every token of the step weighs the same (DAPO, arXiv 2503.14476, eq. 8)."""
    return lengths_S.double().fill_(1 / totals.tokens)


def sequence_mean(lengths_S: Tensor, totals: Totals) -> Tensor:
    """Every sequence weighs the same, its tokens share its weight (GRPO, arXiv 2402.03300)."""
    return 1 / (lengths_S.clamp(min=1).double() * totals.sequences)


def sequence_sum(lengths_S: Tensor, totals: Totals) -> Tensor:
    """Token losses are summed in a sequence, then averaged over sequences (LUSPO, verl's
    seq-mean-token-sum).
    """
    return lengths_S.double().fill_(1 / totals.sequences)


def constant(lengths_S: Tensor, totals: Totals, *, length: int) -> Tensor:
    """As ``sequence_sum``, divided by a fixed length: Dr. GRPO (arXiv 2503.20783); use the longest
    completion.
    """
    return lengths_S.double().fill_(1 / (totals.sequences * length))


AGGREGATIONS: dict[str, Callable[..., Tensor]] = {
    "token_mean": token_mean,
    "sequence_mean": sequence_mean,
    "sequence_sum": sequence_sum,
    "constant": constant,
}


def weighted_sum(loss_T: Tensor, weights_S: Tensor, lengths_S: Tensor) -> Tensor:
    """This micro-batch's share [] of the loss of the step."""
    return (loss_T * spread(weights_S, lengths_S).to(loss_T.dtype)).sum()
