"""An algorithm: credit, objective and aggregation, chosen independently by name and parameters.

Optional parts go with them: changes of rewards and advantages, weights and masks against off-policy
tokens, a KL penalty to the base model, an entropy bonus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Unpack

from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.credit.assign import CREDIT, Credit
from rlpost.credit.reward_transforms import TRANSFORMS, Transform, shaped
from rlpost.credit.shaping import Shaping
from rlpost.credit.verl import SHAPINGS
from rlpost.learner.choices import Choices, choose, choose_all, choose_if, parameters_of
from rlpost.learner.pre_update_pass import PassOutputs
from rlpost.learner.token_weights import TokenWeighting
from rlpost.objective.aggregation import AGGREGATIONS, Aggregation, Totals, weighted_sum
from rlpost.objective.clipping import Clips, clips_of
from rlpost.objective.entropy import ENTROPY, EntropyBonus
from rlpost.objective.importance_weights import CORRECTIONS
from rlpost.objective.kl import PENALTIES, REWARD_PENALTIES, Penalty, RewardPenalty
from rlpost.objective.losses import OBJECTIVES, WEIGHTED, Objective
from rlpost.objective.rejection_masks import REJECTIONS, SEQUENCE_MASKS, STEP_WIDE, SequenceMask
from rlpost.types import Group, Rollout, Sample


class Loss(NamedTuple):
    """The loss of a micro-batch."""

    total: Tensor
    """[] its share of the step's loss."""
    sequence_mask_T: Tensor | None
    """False where the sequence mask took the objective away; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What the learner does with rewards."""

    credit: Credit
    objective: Objective
    aggregation: Aggregation
    transforms: tuple[Transform, ...] = ()
    """Change rewards before credit."""
    mask_truncated: bool = False
    """Completions cut at the limit count in the baseline of their group and nowhere else."""
    weighting: TokenWeighting = field(default_factory=TokenWeighting)
    """What each token weighs, by the weights before the step."""
    weighted_objective: bool = False
    """Whether the objective uses off-policy weights itself."""
    clips: Clips | None = None
    """How the objective clips; None when it bounds no ratio."""
    sequence_mask: SequenceMask | None = None
    """Sequences to leave out, judged at every update."""
    kl: Penalty | None = None
    """In the loss."""
    reward_kl: RewardPenalty | None = None
    """In the reward."""
    entropy: EntropyBonus | None = None
    shaping: Shaping | None = None
    """Changes advantages by what the weights before the step make of the samples."""

    @property
    def needs_all(self) -> bool:
        """Whether samples without credit must be looked at too."""
        return self.trains_all or self.shaping is not None or self.weighting.needs_all

    @property
    def trains_all(self) -> bool:
        """Whether samples without credit add to the gradient."""
        return self.kl is not None or self.entropy is not None

    @property
    def asks(self) -> PassOutputs:
        """What must be known of the samples before the first update."""
        return PassOutputs(
            proximal=self.weighting.needs_proximal,
            reference=self.kl is not None,
            observer=self.shaping,
        )

    def credited(self, groups: Sequence[Group], *also: Transform) -> list[Sample]:
        """The samples to train on, group by group, with the credit of their shaped rewards.

        ``also`` are transforms of this step's own, applied last.
        """
        samples = self.credit(shaped(groups, (*self.transforms, *also)))
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        return [
            sample
            for sample, rollout in zip(samples, rollouts, strict=True)
            if self.trains(rollout)
        ]

    def trains(self, rollout: Rollout) -> bool:
        """Whether the completion is among the samples, rather than in its group's baseline only."""
        return not (self.mask_truncated and rollout.completion.finish == "length")

    def state(self) -> dict[str, dict[str, float]]:
        """What its parts must remember across a restart."""
        return {name: part.state() for name, part in self._remembering().items()}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Continue from the ``state`` of an algorithm with the same parts."""
        for name, part in self._remembering().items():
            part.restore(state[name])

    def _remembering(self) -> dict[str, Shaping | EntropyBonus]:
        parts = {"shaping": self.shaping, "entropy": self.entropy}
        return {name: part for name, part in parts.items() if part is not None}

    def loss(
        self, logprobs_T: Tensor, entropy_T: Tensor, sampled: SampledTokens, totals: Totals
    ) -> Loss:
        """Weights and masks act on the objective alone; a KL penalty and an entropy bonus act on
        every token that is present.
        """
        loss_T = self.objective(logprobs_T, sampled)
        if sampled.weights_T is not None and not self.weighted_objective:
            loss_T = loss_T * sampled.weights_T
        sequence_mask_T = None
        if self.sequence_mask is not None:
            sequence_mask_T = self.sequence_mask(logprobs_T, sampled)
            loss_T = loss_T.where(sequence_mask_T, 0.0)
        if sampled.loss_mask_T is not None:
            loss_T = loss_T.where(sampled.loss_mask_T, 0.0)
        if self.kl is not None:
            loss_T = loss_T + _present(self.kl(logprobs_T, sampled), sampled)
        total = weighted_sum(loss_T, self.aggregation(sampled, totals))
        if self.entropy is not None:
            bonus = _present(entropy_T, sampled).sum() / totals.tokens
            total = total - self.entropy.coefficient * bonus
        return Loss(total, sequence_mask_T)


def _present(values_T: Tensor, sampled: SampledTokens) -> Tensor:
    return values_T if sampled.valid_mask_T is None else values_T.where(sampled.valid_mask_T, 0.0)


def algorithm(**choices: Unpack[Choices]) -> Algorithm:
    """The functions behind the choices. UserError for a name that is in no table."""
    unknown = sorted(choices.keys() - Choices.__annotations__.keys())
    if unknown:
        raise TypeError(f"an algorithm has no part {unknown[0]!r}")
    kl = parameters_of(choices.get("kl") or {})
    in_loss = kl.pop("where", "loss") == "loss"
    if not in_loss:
        kl.pop("bias_correction", None)
    entropy = choose_if(ENTROPY, choices.get("entropy"), what="entropy")
    shaping = choose_if(SHAPINGS, choices.get("shaping"), what="shaping")
    objective = parameters_of(choices["objective"])
    return Algorithm(
        credit=choose(CREDIT, choices["credit"], what="credit"),
        objective=choose(OBJECTIVES, objective, what="objective"),
        aggregation=choose(AGGREGATIONS, choices["aggregation"], what="aggregation"),
        transforms=choose_all(TRANSFORMS, choices.get("transforms", ()), what="reward transform"),
        mask_truncated=choices.get("mask_truncated", False),
        weighting=_weighting(choices),
        weighted_objective=objective["kind"] in WEIGHTED,
        clips=clips_of(objective),
        sequence_mask=choose_if(SEQUENCE_MASKS, choices.get("sequence_mask"), what="sequence mask"),
        kl=choose(PENALTIES, kl, what="kl") if kl and in_loss else None,
        reward_kl=choose(REWARD_PENALTIES, kl, what="kl") if kl and not in_loss else None,
        entropy=entropy() if entropy else None,
        shaping=shaping() if shaping else None,
    )


def _weighting(choices: Choices) -> TokenWeighting:
    correction = choices.get("correction")
    rejections = [parameters_of(one) for one in choices.get("rejections", ())]
    return TokenWeighting(
        correction=choose_if(CORRECTIONS, correction, what="correction"),
        rejections=choose_all(REJECTIONS, rejections, what="rejection"),
        absent=choices.get("rejected") == "absent",
        top_entropy=choices.get("top_entropy"),
        step_wide=(
            any(rejection["kind"] in STEP_WIDE for rejection in rejections)
            or bool(correction and parameters_of(correction).get("normalise"))
        ),
    )
