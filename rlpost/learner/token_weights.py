"""What each token of a step weighs in the loss: off-policy weights, rejections, high entropy only.

All of it follows from one look at the samples before the step's first update, over the whole step:
how the step is later cut into micro-batches or spread over processes cannot change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.batch.segment_ops import segment_sum
from rlpost.learner.pre_update_pass import PassResult
from rlpost.objective.importance_weights import Correction, effective_sample_size
from rlpost.objective.rejection_masks import Rejection, top_entropy


class WeightedTokens(NamedTuple):
    tokens: SampledTokens
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWeighting:
    """Weights and masks of one step; by default all tokens weigh 1."""

    correction: Correction | None = None
    """With one, the objective's ratio is against the policy before the step (decoupled PPO)."""
    rejections: tuple[Rejection, ...] = ()
    """Masks that a token must all pass."""
    absent: bool = False
    """Whether rejected tokens leave the denominators too (verl); else they stay (TRL, AReaL)."""
    top_entropy: float | None = None
    """Share of tokens to learn from, those of the highest entropy; the denominators count all."""

    step_wide: bool = False
    """Whether the correction or a rejection compares a token with all others of the step."""

    @property
    def needs_all(self) -> bool:
        """Whether tokens without credit have a say in what others weigh."""
        return self.absent or self.step_wide or self.top_entropy is not None

    @property
    def needs_proximal(self) -> bool:
        """Whether the policy before the step must be known."""
        return bool(self.correction or self.rejections or self.top_entropy)

    def __call__(self, tokens: SampledTokens, seen: PassResult) -> WeightedTokens:
        """The step's tokens with their weights, and what to log about these."""
        tokens = replace(tokens, reference_T=seen.reference_T)
        if not self.needs_proximal or seen.proximal_T is None or seen.entropy_T is None:
            return WeightedTokens(tokens, {})
        compared = (seen.proximal_T, tokens.behaviour_T, tokens.lengths_S)
        metrics: dict[str, float] = {}
        if self.correction is not None:
            weights_T = self.correction(*compared)
            tokens = replace(tokens, old_T=seen.proximal_T, weights_T=weights_T)
            metrics |= _weight_metrics(weights_T)
        if self.rejections:
            loss_mask_T = torch.stack([reject(*compared) for reject in self.rejections]).all(dim=0)
            tokens = replace(
                tokens, loss_mask_T=loss_mask_T, valid_mask_T=loss_mask_T if self.absent else None
            )
            metrics |= _kept_metrics(loss_mask_T, tokens.lengths_S)
        if self.top_entropy is not None:
            high_T = top_entropy(seen.entropy_T, share=self.top_entropy)
            loss_mask_T = high_T if tokens.loss_mask_T is None else high_T & tokens.loss_mask_T
            tokens = replace(tokens, loss_mask_T=loss_mask_T)
        return WeightedTokens(tokens, metrics)


def _weight_metrics(weights_T: Tensor) -> dict[str, float]:
    if not len(weights_T):
        return {}
    return {
        "correction/weight": float(weights_T.mean(dtype=torch.float64)),
        "correction/weight_min": float(weights_T.min()),
        "correction/weight_max": float(weights_T.max()),
        "correction/kept": float((weights_T > 0).double().mean()),
        "correction/ess": effective_sample_size(weights_T),
    }


def _kept_metrics(loss_mask_T: Tensor, lengths_S: Tensor) -> dict[str, float]:
    if not len(loss_mask_T):
        return {}
    any_S = segment_sum(loss_mask_T.double(), lengths_S)[lengths_S > 0] > 0
    return {
        "rejection/kept": float(loss_mask_T.double().mean()),
        "rejection/kept_sequences": float(any_S.double().mean()),
    }
