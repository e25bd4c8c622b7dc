"""Advantage shaping: the protocol of what changes advantages by a look at hidden states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from rlpost.batch.packing import TokenBatch
from rlpost.types import Sample


class HiddenStateObserver(Protocol):
    """Sees hidden states as they pass by; they are not kept for it."""

    def observe(self, batch: TokenBatch, hidden_T_D: Tensor) -> None:
        """``hidden_T_D`` [T, D], after the final norm, predicts the batch's completion tokens.

        Sequence s of the batch is number ``batch.indices[s]`` of the samples and has
        ``batch.sampled.lengths_S[s]`` rows. A sample without completion tokens is never seen.
        """
        ...


class Shaping(HiddenStateObserver, Protocol):
    """Changes advantages by what the pass showed: observed first, then asked once per step."""

    def shape(self, samples: Sequence[Sample]) -> Shaped:
        """The samples of the step, in the order of ``batch.indices``, with other advantages."""
        ...

    def state(self) -> dict[str, float]:
        """What it must remember across a restart."""
        ...

    def restore(self, state: Mapping[str, float]) -> None: ...


class Shaped(NamedTuple):
    samples: list[Sample]
    metrics: Mapping[str, float]
