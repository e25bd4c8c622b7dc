"""The samples of a step seen with the weights as they are before its first update.

One pass without gradients over packed batches gives all that later stages ask for: the proximal
policy's log-probabilities and entropies, the reference policy's log-probabilities, and the hidden
states for whoever wants to measure them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from rlpost.batch.packing import batches, num_tokens
from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.credit.shaping import HiddenStateObserver
from rlpost.learner.data_parallel import Alone, Ranks, share
from rlpost.learner.packed_policy import Policy
from rlpost.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutputs:
    """What the pass shall find out."""

    proximal: bool = False
    reference: bool = False
    observer: HiddenStateObserver | None = None


class PassResult(NamedTuple):
    """What it found out about all completion tokens of the step; None where it was not asked."""

    proximal_T: Tensor | None = None
    entropy_T: Tensor | None = None
    """Of the proximal policy."""
    reference_T: Tensor | None = None


@torch.no_grad()
def pre_update_pass(
    policy: Policy,
    samples: Sequence[Sample],
    *,
    asks: PassOutputs,
    reference: Callable[[], AbstractContextManager[None]],
    tokens_per_batch: int,
    temperature: float,
    ranks: Ranks,
) -> PassResult:
    """One pass over ``samples``; inside ``reference()`` the policy is the reference policy.

    Ranks share the samples and add up what they saw, unless an observer is to see them all.
    """
    current = asks.proximal or asks.observer is not None
    if not (current or asks.reference):
        return PassResult()
    whole = SampledTokens.of(samples, device=policy.device)
    found = {name: torch.zeros_like(whole.behaviour_T) for name in PassResult._fields}
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
    return PassResult(
        proximal_T=found["proximal_T"] if asks.proximal else None,
        entropy_T=found["entropy_T"] if asks.proximal else None,
        reference_T=found["reference_T"] if asks.reference else None,
    )
