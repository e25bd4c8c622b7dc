"""What an objective clips, for diagnosis: which tokens lie beyond which bound of the ratio.

``CLIPS`` has the objectives that bound a ratio, with the parameters of ``losses.OBJECTIVES``. As in
TRL, a token counts where the bound takes its gradient away: from below with a negative advantage,
from above with a positive one. The weights of CISPO are bounded without that; there ``cispo``
counts as TRL's ``cispo_clip_ratio`` and ``cispo_band`` as verl's ``pg_clipfrac``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.batch.segment_ops import segment_mean, spread
from rlpost.objective.aggregation import Totals
from rlpost.objective.losses import log_ratio


class Clipped(NamedTuple):
    """True for the tokens of a batch that were clipped."""

    low_T: Tensor
    """From below."""
    high_T: Tensor
    """From above."""
    cap_T: Tensor | None = None
    """With a negative advantage, by ``delta`` or ``dual``; None where neither is set."""


def clip(
    logprobs_T: Tensor,
    sampled: SampledTokens,
    *,
    low: float = 0.2,
    high: float = 0.2,
    delta: float | None = None,
    dual: float | None = None,
) -> Clipped:
    ratio_T = log_ratio(logprobs_T, sampled.old_T).exp()
    sides = _sides(ratio_T, sampled.advantages_T, low=low, high=high)
    caps = [cap for cap in (delta, dual) if cap is not None]
    if not caps:
        return sides
    return sides._replace(cap_T=(ratio_T > min(caps)) & (sampled.advantages_T < 0))


def of_sequences(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 3e-4, high: float = 4e-4
) -> Clipped:
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T)
    ratio_S = segment_mean(log_ratio_T, sampled.lengths_S).exp()
    ratio_T = spread(ratio_S, sampled.lengths_S)
    return _sides(ratio_T, sampled.advantages_T, low=low, high=high)


def of_ranks(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 0.06, high: float = 0.08
) -> Clipped:
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T)
    ratio_R = segment_mean(log_ratio_T, sampled.lengths_R).exp()
    ratio_T = spread(ratio_R, sampled.lengths_R)
    return _sides(ratio_T, sampled.advantages_T, low=low, high=high)


def cispo(logprobs_T: Tensor, sampled: SampledTokens, *, cap: float = 5.0) -> Clipped:
    high_T = (log_ratio(logprobs_T, sampled.old_T).exp() > cap) & (sampled.advantages_T > 0)
    return Clipped(torch.zeros_like(high_T), high_T)


def cispo_band(
    logprobs_T: Tensor, sampled: SampledTokens, *, low: float = 0.2, high: float = 0.2
) -> Clipped:
    ratio_T = log_ratio(logprobs_T, sampled.old_T).exp()
    credited_T = sampled.advantages_T != 0
    return Clipped((ratio_T < 1 - low) & credited_T, (ratio_T > 1 + high) & credited_T)


def gmpo(logprobs_T: Tensor, sampled: SampledTokens, *, band: float = 0.4) -> Clipped:
    log_ratio_T = log_ratio(logprobs_T, sampled.old_T)
    falls_T, rises_T = sampled.advantages_T < 0, sampled.advantages_T > 0
    return Clipped((log_ratio_T < -band) & falls_T, (log_ratio_T > band) & rises_T)


CLIPS: dict[str, Callable[..., Clipped]] = {
    "clip": clip,
    "gspo": of_sequences,
    "gspo_token": of_sequences,
    "rank_grpo": of_ranks,
    "cispo": cispo,
    "cispo_band": cispo_band,
    "gmpo": gmpo,
}
"""(logprobs_T, sampled, **parameters of the objective) -> what is clipped."""
BY_SEQUENCE = frozenset({"gspo"})
"""Objectives whose sequences have one ratio each: the share of sequences is told, as in TRL."""

LOW, HIGH, REGION, CAP = (f"clip_ratio/{name}" for name in ("low", "high", "region", "cap"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """How the objective of a run clips."""

    clipped: Callable[[Tensor, SampledTokens], Clipped]
    by_sequence: bool
    names: tuple[str, ...]
    """The metrics that it has."""

    def counts(self, logprobs_T: Tensor, sampled: SampledTokens) -> dict[str, float]:
        """How many tokens or sequences of a batch were clipped, by the name of the share."""
        low_T, high_T, cap_T = self.clipped(logprobs_T, sampled)
        flags = {LOW: low_T, HIGH: high_T, REGION: low_T | high_T, CAP: cap_T}
        counts = {}
        for name in self.names:
            flag_T = flags[name]
            if flag_T is None:
                continue
            if self.by_sequence:
                flag_T = segment_mean(flag_T.double(), sampled.lengths_S)
            counts[name] = float(flag_T.sum(dtype=torch.float64))
        return counts

    def shares(self, counts: Mapping[str, float], totals: Totals) -> dict[str, float]:
        """Counts over all that the update trains on, as shares of it."""
        whole = totals.sequences if self.by_sequence else totals.tokens
        return {name: counts.get(name, 0.0) / whole for name in self.names}


def clips_of(objective: Mapping[str, Any]) -> Clips | None:
    """How ``objective`` (``kind`` and parameters) clips; None when it bounds no ratio."""
    parameters = dict(objective)
    kind = parameters.pop("kind")
    if kind not in CLIPS:
        return None
    capped = any(parameters.get(name) is not None for name in ("delta", "dual"))
    return Clips(
        clipped=partial(CLIPS[kind], **parameters),
        by_sequence=kind in BY_SEQUENCE,
        names=(LOW, HIGH, REGION, *([CAP] if capped else ())),
    )


def _sides(ratio_T: Tensor, advantages_T: Tensor, *, low: float, high: float) -> Clipped:
    return Clipped(
        (ratio_T < 1 - low) & (advantages_T < 0), (ratio_T > 1 + high) & (advantages_T > 0)
    )
