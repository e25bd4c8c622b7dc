"""From the groups of a step to its parts: micro-batches that hold all that an update needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import NamedTuple

import torch

from rlpost.batch.packing import TokenBatch, batches, num_tokens
from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.batch.segment_ops import segment_sum
from rlpost.credit.assign import mean_advantage, per_sequence, stretches
from rlpost.credit.reward_transforms import Transform
from rlpost.errors import TrainingError
from rlpost.learner.algorithm import Algorithm
from rlpost.learner.data_parallel import Ranks, share
from rlpost.learner.packed_policy import Policy
from rlpost.learner.pre_update_pass import PassOutputs, PassResult, pre_update_pass
from rlpost.objective.aggregation import Totals, totals_of
from rlpost.types import Group, GroupKey, Sample, Stretch


class Minibatch(NamedTuple):
    """The samples of one optimizer step."""

    totals: Totals
    batches: tuple[TokenBatch, ...]
    """This rank's share."""
    has_signal: bool
    """Whether any rank has something to learn from."""


class PreparedStep(NamedTuple):
    samples: Sequence[Sample]
    parts: Sequence[Minibatch]
    advantages_P_G: Sequence[Sequence[Sequence[Stretch]]]
    """Of every completion, as trained on; 0 where no token of it is."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBuilder:
    """Credit, a look at the samples with the weights as they are, weights of tokens, packing."""

    policy: Policy
    reference: Callable[[], AbstractContextManager[None]]
    """Inside it the policy is the reference policy."""
    algorithm: Algorithm
    tokens_per_batch: int
    temperature: float
    minibatches: int
    """Equal parts that a step's samples are cut into."""
    ranks: Ranks

    def __call__(self, groups: Sequence[Group], *, step: int) -> PreparedStep:
        """TrainingError, naming ``step``, when an engine reported a non-finite log-probability."""
        algorithm = self.algorithm
        _refuse_non_finite(groups, step)
        _refuse_infinite_rewards(groups, step)
        cost, costs = self._divergence(groups)
        samples = algorithm.credited(groups, *cost)
        looked = [i for i, s in enumerate(samples) if algorithm.needs_all or any(s.advantages_T)]
        chosen = [samples[i] for i in looked]
        seen = self._look(chosen, algorithm.asks)
        shaped: Mapping[str, float] = {}
        if algorithm.shaping is not None:
            chosen, shaped = algorithm.shaping.shape(chosen)
        tokens = SampledTokens.of(chosen, device=self.policy.device)
        tokens, weighted = algorithm.weighting(tokens, seen)
        has_signal = tokens.has_signal_S.tolist()
        parts = []
        for number in range(self.minibatches):
            start, end = (len(samples) * n // self.minibatches for n in (number, number + 1))
            members = [k for k, i in enumerate(looked) if start <= i < end]
            totals = totals_of(samples[start:end])
            if tokens.valid_mask_T is not None:
                totals = Totals.of(n for n in tokens.take(members).counts_S.tolist() if n)
            # Without credit, or masked, a sample adds nothing to the gradient of the objective:
            # its tokens count in the denominators only.
            trained = [k for k in members if algorithm.trains_all or has_signal[k]]
            parts.append(self._part(totals, chosen, tokens, trained))
        for i, sample in zip(looked, chosen, strict=True):
            samples[i] = sample
        taught = {i: samples[i] for i, does in zip(looked, has_signal, strict=True) if does}
        advantages_P_G, credited = self._advantages(groups, taught)
        return PreparedStep(
            samples, parts, advantages_P_G, {**credited, **costs, **shaped, **weighted}
        )

    def _advantages(
        self, groups: Sequence[Group], taught: Mapping[int, Sample]
    ) -> tuple[list[list[tuple[Stretch, ...]]], Mapping[str, float]]:
        """What each completion was credited with; ``taught``: number -> sample with something to
        learn from.
        """
        numbers = count()
        rows = []
        num_teaching = 0
        for group in groups:
            samples_G = [
                taught.get(next(numbers)) if self.algorithm.trains(rollout) else None
                for rollout in group.rollouts
            ]
            num_teaching += any(sample is not None for sample in samples_G)
            rows.append(
                [
                    stretches(
                        sample.advantages_T if sample else (0.0,) * len(r.completion.token_ids)
                    )
                    for r, sample in zip(group.rollouts, samples_G, strict=True)
                ]
            )
        means = [mean_advantage(credited) for row in rows for credited in row]
        return rows, {
            "advantage/max": max(means, default=0.0),
            "advantage/min": min(means, default=0.0),
            "frac_teaching_groups": num_teaching / max(1, len(groups)),
        }

    def _part(
        self,
        totals: Totals,
        samples: Sequence[Sample],
        tokens: SampledTokens,
        members: Sequence[int],
    ) -> Minibatch:
        """The samples at ``members`` in micro-batches, with what is known of their tokens."""
        mine = [members[k] for k in share([num_tokens(samples[k]) for k in members], self.ranks)]
        packed = batches(
            [samples[k] for k in mine],
            budget=self.tokens_per_batch,
            layout=self.policy.layout,
            device=self.policy.device,
        )
        return Minibatch(
            totals=totals,
            batches=tuple(
                replace(batch, sampled=tokens.take([mine[j] for j in batch.indices]))
                for batch in packed
            ),
            has_signal=any(samples[k].completion_ids for k in members),
        )

    def _look(self, samples: Sequence[Sample], asks: PassOutputs) -> PassResult:
        return pre_update_pass(
            self.policy,
            samples,
            asks=asks,
            reference=self.reference,
            tokens_per_batch=self.tokens_per_batch,
            temperature=self.temperature,
            ranks=self.ranks,
        )

    def logprobs(self, groups: Sequence[Group]) -> list[list[float]]:
        """Log-probability of every completion, group by group, with the weights as they are."""
        if not groups:
            return []
        samples = _without_credit(groups)
        seen = self._look(samples, PassOutputs(proximal=True))
        assert seen.proximal_T is not None
        lengths_S = SampledTokens.of(samples, device=self.policy.device).lengths_S
        sums = iter(segment_sum(seen.proximal_T, lengths_S).tolist())
        return [[next(sums) for _ in group.rollouts] for group in groups]

    def _divergence(
        self, groups: Sequence[Group]
    ) -> tuple[tuple[Transform, ...], Mapping[str, float]]:
        """What a KL penalty in the reward makes of rewards; nothing without one."""
        penalty = self.algorithm.reward_kl
        if penalty is None:
            return (), {}
        samples = _without_credit(groups)
        seen = self._look(samples, PassOutputs(reference=True))
        assert seen.reference_T is not None
        tokens = SampledTokens.of(samples, device=self.policy.device)
        costs_T = penalty(tokens.behaviour_T, seen.reference_T)
        costs_S = segment_sum(costs_T, tokens.lengths_S)
        costs = iter(costs_S.tolist())
        costs_P_G = {group.key: [next(costs) for _ in group.rollouts] for group in groups}
        metrics = {"reward/kl_cost": float(costs_S.mean(dtype=torch.float64))}
        return (partial(_less, costs_P_G=costs_P_G),), metrics


def _without_credit(groups: Sequence[Group]) -> list[Sample]:
    return per_sequence(groups, [[0.0] * len(group.rollouts) for group in groups])


def _less(group: Group, *, costs_P_G: Mapping[GroupKey, Sequence[float]]) -> list[float]:
    costs_G = costs_P_G[group.key]
    return [reward - cost for reward, cost in zip(group.rewards_G, costs_G, strict=True)]


def _refuse_non_finite(groups: Sequence[Group], step: int) -> None:
    for group in groups:
        for rollout in group.rollouts:
            logprobs_T = rollout.completion.logprobs_T
            if not math.isfinite(sum(logprobs_T)):
                broken = [logprob for logprob in logprobs_T if not math.isfinite(logprob)]
                raise TrainingError(
                    f"step {step}: the engine reported a log-probability of {broken[0]}; "
                    "the weights are unchanged"
                )


def _refuse_infinite_rewards(groups: Sequence[Group], step: int) -> None:
    for group in groups:
        infinite = [reward for reward in group.rewards_G if math.isinf(reward)]
        if infinite:
            raise TrainingError(
                f"step {step}: prompt {group.key.prompt_id!r} has a reward of {infinite[0]}; "
                "the weights are unchanged"
            )
