"""The samples of a step seen with the weights as they are before its first update.

One pass without gradients over packed batches gives all that later stages ask for: the proximal
policy's log-probabilities and entropies, the reference policy's log-probabilities, and the hidden
states for whoever wants to measure them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rlpost.batching import TokenBatch, batches, num_tokens
from rlpost.data_parallel import Alone, Ranks, share
from rlpost.policy import Policy
from rlpost.sampled import SampledTokens
from rlpost.types import Sample


class Observer(Protocol):
    """Sees hidden states as they pass by; they are not kept for it."""

    def observe(self, batch: TokenBatch, hidden_T_D: Tensor) -> None:
        """``hidden_T_D`` [T, D], after the final norm, predicts the batch's completion tokens.

        Sequence s of the batch is number ``batch.indices[s]`` of the samples and has
        ``batch.sampled.lengths_S[s]`` rows. A sample without completion tokens is never seen.
        """
        ...


class Shaping(Observer, Protocol):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What the pass shall find out."""

    proximal: bool = False
    reference: bool = False
    observer: Observer | None = None


class Seen(NamedTuple):
    """What it found out about all completion tokens of the step; None where it was not asked."""

    proximal_T: Tensor | None = None
    entropy_T: Tensor | None = None
    """Of the proximal policy."""
    reference_T: Tensor | None = None


@torch.no_grad()
def look(
    policy: Policy,
    samples: Sequence[Sample],
    *,
    asks: Asks,
    reference: Callable[[], AbstractContextManager[None]],
    tokens_per_batch: int,
    temperature: float,
    ranks: Ranks,
) -> Seen:
    """One pass over ``samples``; inside ``reference()`` the policy is the reference policy.

    Ranks share the samples and add up what they saw, unless an observer is to see them all.
    """
    current = asks.proximal or asks.observer is not None
    if not (current or asks.reference):
        return Seen()
    whole = SampledTokens.of(samples, device=policy.device)
    found = {name: torch.zeros_like(whole.behaviour_T) for name in Seen._fields}
    sharing = ranks if asks.observer is None else Alone()
    mine = share([num_tokens(sample) for sample in samples], sharing)
    looked = [samples[i] for i in mine]
    for batch in batches(
        looked, budget=tokens_per_batch, layout=policy.layout, device=policy.device
    ):
        batch = replace(batch, indices=tuple(mine[j] for j in batch.indices))
        places_T = whole.places(batch.indices)
        if current:
            hidden_T_D = policy.hidden(batch)
            if asks.observer is not None:
                asks.observer.observe(batch, hidden_T_D)
        if asks.proximal:
            logprobs_T, entropy_T = policy.read(hidden_T_D, batch, temperature=temperature)
            found["proximal_T"][places_T] = logprobs_T
            found["entropy_T"][places_T] = entropy_T
        if asks.reference:
            with reference():
                logprobs_T, _ = policy.logprobs(batch, temperature=temperature)
            found["reference_T"][places_T] = logprobs_T
    sharing.add(list(found.values()))
    return Seen(
        proximal_T=found["proximal_T"] if asks.proximal else None,
        entropy_T=found["entropy_T"] if asks.proximal else None,
        reference_T=found["reference_T"] if asks.reference else None,
    )
