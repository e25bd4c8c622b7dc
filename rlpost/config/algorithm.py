"""The algorithm of a run: credit, objective, aggregation, and what may be added to them.

Each choice is a section named by ``kind`` with the parameters of that kind alone; kinds and
parameters are those of the tables CREDIT, OBJECTIVES, AGGREGATIONS and SHAPINGS.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rankers.config_file import Section
from rlpost.config.off_policy import (
    CorrectionConfig,
    Entropy,
    KlPenalty,
    RejectionConfig,
    SequenceMaskConfig,
)

Low = Annotated[float, Field(gt=0, lt=1)]
High = Annotated[float, Field(gt=0)]


class GroupCredit(Section):
    kind: Literal["group_mean", "leave_one_out"] = "group_mean"
    """What is subtracted from a reward: its group's mean, or the mean of its siblings (RLOO)."""
    scale: Literal["group_std", "batch_std", "none"] = "group_std"
    """What the difference is divided by; ``none`` is Dr. GRPO's choice (arXiv 2503.20783)."""


class GdpoCredit(Section):
    kind: Literal["gdpo"]
    """Each part of the reward is standardised by itself (arXiv 2601.05242)."""
    weights: dict[str, float] = Field(min_length=1)
    """Weight of each part, such as ``{ndcg: 1.0, format: 0.1}``."""


class RankCredit(Section):
    kind: Literal["rank"]
    """Each place of a list against the group at that place (Rank-GRPO, arXiv 2510.20150)."""
    decay: Literal["exp_inf", "exp_gamma", "log"] = "exp_inf"
    """What a rank earns: its own gain; plus later gains by gamma per rank; or the rest of DCG."""
    gamma: float = Field(default=2.0, gt=1)
    """Of ``exp_gamma``: a gain counts 1 / gamma for the rank before, 1 / gamma^2 two before."""
    scale: Literal["group_std", "none"] = "group_std"
    """What the difference to the group is divided by; ``none`` keeps rare hits at their size."""
    length_bonus: float = Field(default=0.1, ge=0)
    """Advantage of ending a list at its length; lost by ending early and by any other text."""


class ClipObjective(Section):
    kind: Literal["clip"] = "clip"
    """PPO's clipped ratio (arXiv 1707.06347), asymmetric as in DAPO (arXiv 2503.14476)."""
    low: Low = 0.2
    """The ratio is kept >= 1 - low."""
    high: High = 0.2
    """The ratio is kept <= 1 + high."""
    delta: float | None = Field(default=None, gt=1)
    """Cap of the ratio itself, also for negative advantages (arXiv 2505.07291)."""
    dual: float | None = Field(default=None, gt=1)
    """Bound of the loss for negative advantages, in advantages (arXiv 1912.09729)."""


class ReinforceObjective(Section):
    kind: Literal["reinforce"]
    """-advantage * log-probability."""


class GspoObjective(Section):
    kind: Literal["gspo", "gspo_token"]
    """The geometric mean of a sequence's ratios, clipped (arXiv 2507.18071)."""
    low: Low = 3e-4
    """The sequence's ratio is kept >= 1 - low."""
    high: High = 4e-4
    """The sequence's ratio is kept <= 1 + high."""


class RankGrpoObjective(Section):
    kind: Literal["rank_grpo"]
    """The geometric mean of the ratios of a rank's tokens, clipped (arXiv 2510.20150)."""
    low: Low = 0.06
    """The rank's ratio is kept >= 1 - low."""
    high: High = 0.08
    """The rank's ratio is kept <= 1 + high."""


class CispoObjective(Section):
    kind: Literal["cispo"]
    """Capped weights, no token without gradient (arXiv 2506.13585)."""
    cap: float = Field(default=5.0, ge=1)
    """Largest weight; the weight itself, not 1 + cap."""


class CispoBandObjective(Section):
    kind: Literal["cispo_band"]
    """CISPO with weights kept in [1 - low, 1 + high], as verl defines it."""
    low: Low = 0.2
    """Distance of the lower bound from 1."""
    high: High = 0.2
    """Distance of the upper bound from 1."""


class SapoObjective(Section):
    kind: Literal["sapo"]
    """A sigmoid gate in place of the clip (arXiv 2511.20347)."""
    tau_up: float = Field(default=1.0, gt=0)
    """Temperature of the gate for positive advantages."""
    tau_down: float = Field(default=1.05, gt=0)
    """Temperature of the gate for the others."""


class GmpoObjective(Section):
    kind: Literal["gmpo"]
    """Geometric mean of one-sidedly clipped ratios (arXiv 2507.20673)."""
    band: float = Field(default=0.4, gt=0)
    """Log-ratios are clipped at this distance from 0."""


class VespoObjective(Section):
    kind: Literal["vespo"]
    """A smooth weight on the product of a sequence's ratios (arXiv 2602.10693)."""
    k_up: float = Field(default=2.0, gt=0)
    """Exponent for positive advantages."""
    lambda_up: float = Field(default=3.0, gt=0)
    """Decay for positive advantages."""
    k_down: float = Field(default=3.0, gt=0)
    """Exponent for the others."""
    lambda_down: float = Field(default=2.0, gt=0)
    """Decay for the others."""


ObjectiveConfig = Annotated[
    ClipObjective
    | ReinforceObjective
    | GspoObjective
    | RankGrpoObjective
    | CispoObjective
    | CispoBandObjective
    | SapoObjective
    | GmpoObjective
    | VespoObjective,
    Field(discriminator="kind"),
]


class AggregationConfig(Section):
    kind: Literal["token_mean", "sequence_mean", "sequence_sum", "rank_mean"] = "token_mean"
    """Over the whole step: all tokens weigh the same; or all sequences, by their mean or sum; or
    all ranks of lists, by their mean."""


class ConstantAggregation(Section):
    kind: Literal["constant"]
    """Sums of tokens over a fixed length (Dr. GRPO, arXiv 2503.20783)."""
    length: int = Field(ge=1)
    """Usually rollout.max_new_tokens."""


class VerlShaping(Section):
    kind: Literal["verl"]
    """A bonus by effective rank, its velocity and acceleration (VERL, arXiv 2509.23808)."""
    variant: Literal["paper", "released"] = "paper"
    """What gets the bonus: every token of a response, or the last alone as in the official code."""
    mix: Literal["adaptive", "equal", "sum"] = "adaptive"
    """Rank and velocity weigh by the acceleration, or half each, or both in full."""
    stride: int = Field(default=40, ge=1)
    """Tokens from one prefix of a response to the next; velocity needs two prefixes."""
    window: int | None = Field(default=512, ge=2)
    """Prefixes are those of this many last tokens, which bounds their cost; null is all of them."""
    rate: float = Field(default=0.3, gt=0, le=1)
    """Weight of the newest step in the running means that a response is compared with."""
    debias: bool = True
    """The running means start at the first step's; without it at 0, and first bonuses saturate."""
    gain: float = Field(default=2.0, gt=0)
    """Steepness in the acceleration of the shift from velocity to rank."""
    bound: float = Field(default=5.0, gt=0)
    """Largest relative deviation from the running means."""
    kappa: float = Field(default=2.0, ge=1)
    """The bonus is at most the size of the advantage over this."""


class DynamicSamplingConfig(Section):
    max_ratio: float = Field(default=3.0, gt=1)
    """A step may try this many times ``groups_per_step`` prompts; when that is not enough, the run
    stops."""


class Overlong(Section):
    margin: int = Field(ge=1)
    """The punishment grows over this many last tokens before rollout.max_new_tokens (DAPO, arXiv
    2503.14476, eq. 13)."""
    penalty: float = Field(default=1.0, gt=0)
    """What a completion at the limit loses."""


class Unlikeliness(Section):
    beta: float = Field(default=0.25, gt=0, lt=1)
    """The likeliest completion's reward loses this share (arXiv 2506.02355); 0.25 is published."""
    formula: Literal["paper", "released"] = "paper"
    """``released`` takes beta / group_size less from everyone, as the authors' code does."""
    likelihood: Literal["sum", "mean"] = "sum"
    """Order siblings by the log-probability of the sequence, or by its mean over tokens (as the
    authors' code does)."""
    ties: Literal["average", "first"] = "average"
    """Equally likely siblings share a rank, or the earlier one counts as less likely."""


class RewardConfig(Section):
    unlikeliness: Unlikeliness | None = None
    """Lowers the reward of likely completions, so that rare correct ones gain."""
    overlong: Overlong | None = None
    """Lowers the reward of completions close to the length limit, after ``unlikeliness``."""
    truncated: Literal["train", "mask"] = "train"
    """``mask``: a completion cut at the limit stays in its group's baseline, but the update leaves
    it out (DAPO's overlong filtering)."""

    def transforms(self, *, limit: int) -> tuple[dict[str, Any], ...]:
        """Choices from ``reward_shaping.TRANSFORMS``, in order; ``limit``: longest completion."""
        chosen: list[dict[str, Any]] = []
        if self.unlikeliness is not None:
            chosen.append({"kind": "unlikeliness", **self.unlikeliness.model_dump()})
        if self.overlong is not None:
            chosen.append({"kind": "overlong", "limit": limit, **self.overlong.model_dump()})
        return tuple(chosen)


class AlgorithmConfig(Section):
    credit: Annotated[GroupCredit | GdpoCredit | RankCredit, Field(discriminator="kind")] = (
        GroupCredit()
    )
    objective: ObjectiveConfig = ClipObjective()
    aggregation: Annotated[AggregationConfig | ConstantAggregation, Field(discriminator="kind")] = (
        AggregationConfig()
    )
    correction: CorrectionConfig | None = None
    """Weights against the mismatch between sampler and learner; none by default."""
    rejections: tuple[RejectionConfig, ...] = ()
    """Masks against the same, all of which a token must pass; none by default."""
    rejected: Literal["counted", "absent"] = "counted"
    """Whether rejected tokens still count in the denominators (TRL, AReaL), or are as if they had
    never been sampled (verl)."""
    sequence_mask: SequenceMaskConfig | None = None
    """Bad sequences that the policy has already left are not pushed further away."""
    top_entropy: float | None = Field(default=None, gt=0, lt=1)
    """Share of tokens to learn from, those of highest entropy before the step (arXiv 2506.01939);
    0.2 is published. The denominators count all."""
    entropy: Entropy | None = None
    """Bonus for uncertainty; none by default."""
    reward: RewardConfig = RewardConfig()
    dynamic_sampling: DynamicSamplingConfig | None = None
    """Leave out prompts whose completions all get the same reward, and try others instead (DAPO,
    arXiv 2503.14476); by default every prompt is trained on."""
    kl: KlPenalty | None = None
    """Penalty for leaving the model before RL; none by default."""
    shaping: VerlShaping | None = None
    """Change of advantages by what the policy's hidden states show; none by default."""
