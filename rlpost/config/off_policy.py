"""Weights, masks and penalties: what an algorithm adds to its objective.

Kinds and parameters are those of the tables CORRECTIONS, REJECTIONS, SEQUENCE_MASKS, PENALTIES and
ENTROPY.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rankers.config_file import Section


class WeightCorrection(Section):
    kind: Literal["truncated", "masked"]
    """Importance weights of the policy before the step over the one that sampled: TIS or MIS."""
    level: Literal["token", "sequence", "geometric"] = "token"
    """One weight per token, or per sequence by the product or the geometric mean of its tokens."""
    low: float = Field(default=0.0, ge=0)
    """Smallest weight."""
    high: float = Field(default=2.0, gt=0)
    """Largest weight: larger ones are cut to it (truncated) or to 0 (masked)."""
    normalise: bool = False
    """Weights are scaled to mean 1 over the step's tokens or, on sequence levels, sequences."""


class UnweightedCorrection(Section):
    kind: Literal["unweighted"]
    """Ratios are against the policy before the step, and weigh 1 (decoupled PPO, arXiv 2505.24298,
    without its behaviour weight)."""


CorrectionConfig = Annotated[WeightCorrection | UnweightedCorrection, Field(discriminator="kind")]


class BoundsRejection(Section):
    kind: Literal["bounds"]
    """Tokens or sequences are left out where the two policies differ by more than bounds allow."""
    divergence: Literal["ratio", "k2", "k3", "k3_reverse"] = "ratio"
    """The ratio learner / engine itself, or an estimate of a divergence: ``k3`` is verl's,
    ``k3_reverse`` AReaL's. verl's ``k1`` bounds the inverse ratio: 1 / high to 1 / low here."""
    scope: Literal["token", "sum", "mean", "max"] = "token"
    """Each token by itself, or whole sequences by the sum, mean or maximum over their tokens; the
    ``ratio`` of a sequence is then the product, geometric mean or maximum."""
    low: float = Field(default=0.0, ge=0)
    """Smallest value that is kept."""
    high: float = Field(gt=0)
    """Largest value that is kept."""


class M2poRejection(Section):
    kind: Literal["m2po"]
    """The most off-policy tokens are left out until the mean square of the rest's log-ratio is
    small (arXiv 2510.01161)."""
    threshold: float = Field(gt=0)
    """Bound of that mean, in nats squared; 0.04 in the paper."""


RejectionConfig = Annotated[BoundsRejection | M2poRejection, Field(discriminator="kind")]


class SequenceMaskConfig(Section):
    kind: Literal["drift"] = "drift"
    """Sequences with a negative advantage that the policy has left are left out (DeepSeek-V3.2,
    arXiv 2512.02556); judged at every update."""
    threshold: float = Field(gt=0)
    """Nats per token, on average, that the policy may have moved away."""


class KlPenalty(Section):
    kind: Literal["k1", "k2", "k3", "k3_plus", "absolute"]
    """Estimator of the divergence from the model before RL; ``k3_plus`` has k2's gradient."""
    coefficient: float = Field(gt=0)
    """Weight in the loss, or in the reward of a completion, which pays for the sum over its
    tokens."""
    where: Literal["loss", "reward"] = "loss"
    """``reward``: taken from rewards before credit; groups of equal rewards still get none."""
    bias_correction: bool = False
    """Times the ratio to the sampling policy (DeepSeek-V3.2, arXiv 2512.02556)."""


class FixedEntropy(Section):
    kind: Literal["fixed"]
    """The mean entropy of the step's tokens, times a coefficient, is taken from the loss."""
    coefficient: float = Field(gt=0)
    """Loss per nat."""


class AdaptiveEntropy(Section):
    kind: Literal["adaptive"]
    """A bonus only while entropy is at or below a target (Skywork-OR1, arXiv 2505.22312)."""
    target: float = Field(default=0.2, gt=0)
    """Nats per token."""
    delta: float = Field(default=0.005, gt=0)
    """The coefficient grows by this after an update at or below the target, falls otherwise."""
    initial: float = Field(default=0.0, ge=0)
    """Coefficient to begin with."""
    low: float = Field(default=0.0, ge=0)
    """Smallest coefficient."""
    high: float = Field(default=1.0, gt=0)
    """Largest coefficient."""


Entropy = Annotated[FixedEntropy | AdaptiveEntropy, Field(discriminator="kind")]
