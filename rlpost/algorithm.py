"""An algorithm: credit, objective and aggregation, chosen independently by name and parameters.

Two optional parts go with them: an off-policy correction and a KL penalty to the base model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from rlpost.aggregation import AGGREGATIONS, Aggregation, Totals, weighted_sum
from rlpost.choice import Choice, choose
from rlpost.correction import CORRECTIONS, Correction
from rlpost.credit import CREDIT, Credit
from rlpost.errors import CheckpointError
from rlpost.kl import PENALTIES, Penalty
from rlpost.losses import OBJECTIVES, Objective
from rlpost.proximal import Asks, Seen, Shaping
from rlpost.reward_shaping import TRANSFORMS, Transform, shaped
from rlpost.sampled import SampledTokens
from rlpost.shaping import SHAPINGS
from rlpost.types import Group, Sample


class Loss(NamedTuple):
    """The loss of a micro-batch."""

    total: Tensor
    """[] its share of the step's loss."""
    objective_T: Tensor
    """The objective alone, before correction, penalty and aggregation."""


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
    correction: Correction | None = None
    """With one, the objective's ratio is against the policy before the step (decoupled PPO)."""
    kl: Penalty | None = None
    shaping: Shaping | None = None
    """Changes advantages by what the weights before the step make of the samples."""

    @property
    def needs_all(self) -> bool:
        """Whether samples without credit must be looked at too."""
        return self.trains_all or self.shaping is not None

    @property
    def trains_all(self) -> bool:
        """Whether samples without credit add to the gradient."""
        return self.kl is not None

    @property
    def asks(self) -> Asks:
        """What must be known of the samples before the first update."""
        return Asks(
            proximal=self.correction is not None,
            reference=self.kl is not None,
            observer=self.shaping,
        )

    def credited(self, groups: Sequence[Group]) -> list[Sample]:
        """The samples to train on, group by group, with the credit of their shaped rewards."""
        samples = self.credit(shaped(groups, self.transforms))
        if not self.mask_truncated:
            return samples
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        return [
            sample
            for sample, rollout in zip(samples, rollouts, strict=True)
            if rollout.completion.finish != "length"
        ]

    def state(self) -> dict[str, dict[str, float]]:
        """What its parts must remember across a restart."""
        return {name: part.state() for name, part in self._remembering().items()}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Continue from ``state``; CheckpointError when it is another algorithm's."""
        parts = self._remembering()
        if parts.keys() != state.keys():
            raise CheckpointError(
                f"the checkpoint remembers {sorted(state)} of its algorithm, this one has "
                f"{sorted(parts)}: resume with the algorithm it was saved with"
            )
        for name, part in parts.items():
            part.restore(state[name])

    def _remembering(self) -> dict[str, Shaping]:
        return {} if self.shaping is None else {"shaping": self.shaping}

    def prepare(self, tokens: SampledTokens, seen: Seen) -> SampledTokens:
        """The step's tokens with what was seen of them and the weights that follow from it."""
        tokens = replace(tokens, reference_T=seen.reference_T)
        if self.correction is None or seen.proximal_T is None:
            return tokens
        weights_T = self.correction(seen.proximal_T, tokens.behaviour_T, tokens.lengths_S)
        return replace(tokens, old_T=seen.proximal_T, weights_T=weights_T)

    def loss(self, logprobs_T: Tensor, sampled: SampledTokens, totals: Totals) -> Loss:
        """The objective times the correction, plus the uncorrected penalty, aggregated."""
        objective_T = self.objective(logprobs_T, sampled)
        loss_T = objective_T
        if sampled.weights_T is not None:
            loss_T = loss_T * sampled.weights_T
        if self.kl is not None:
            loss_T = loss_T + self.kl(logprobs_T, sampled)
        weights_T = self.aggregation(sampled, totals)
        return Loss(weighted_sum(loss_T, weights_T), objective_T)


def algorithm(
    *,
    credit: Choice,
    objective: Choice,
    aggregation: Choice,
    transforms: Sequence[Choice] = (),
    mask_truncated: bool = False,
    correction: Choice | None = None,
    kl: Choice | None = None,
    shaping: Choice | None = None,
) -> Algorithm:
    """The functions behind the choices. UserError for a name that is in no table."""
    return Algorithm(
        credit=choose(CREDIT, credit, what="credit"),
        objective=choose(OBJECTIVES, objective, what="objective"),
        aggregation=choose(AGGREGATIONS, aggregation, what="aggregation"),
        transforms=tuple(choose(TRANSFORMS, one, what="reward transform") for one in transforms),
        mask_truncated=mask_truncated,
        correction=(
            None if correction is None else choose(CORRECTIONS, correction, what="correction")
        ),
        kl=None if kl is None else choose(PENALTIES, kl, what="kl"),
        shaping=None if shaping is None else choose(SHAPINGS, shaping, what="shaping")(),
    )
