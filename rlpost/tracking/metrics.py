"""The glossary of metrics: every name a run may log, how it folds within a step, what it means.

Names are those of TRL and verl where they exist. Logging an unlisted name is a KeyError, so that
the glossary cannot rot.
"""

from __future__ import annotations

import difflib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rlpost.credit.advantages import is_degenerate
from rlpost.types import Group

Fold = Callable[[Sequence[float]], float]


class Metric(NamedTuple):
    """How several reports within a step become one number, and what the number says."""

    fold: Fold
    meaning: str


def first(values: Sequence[float]) -> float:
    """The oldest report."""
    return values[0]


def last(values: Sequence[float]) -> float:
    """The newest report."""
    return values[-1]


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; nan when there is nothing to average."""
    return statistics.fmean(values) if values else math.nan


METRICS: dict[str, Metric] = {
    "loss/policy": Metric(sum, "objective over the whole step; each micro-batch adds its share"),
    "loss/student": Metric(last, "mean loss of the step's lists in a distillation"),
    "grad_norm": Metric(last, "norm of the gradient before clipping"),
    "lr": Metric(last, "learning rate of the step"),
    "updates/skipped": Metric(
        sum, "optimizer steps left out because no completion of theirs had anything to teach"
    ),
    "entropy": Metric(
        mean, "mean entropy in nats of the next-token distribution, over completion tokens"
    ),
    "ratio/mean": Metric(
        mean, "mean of pi_learner / pi_engine over completion tokens; 1 on policy"
    ),
    "ratio/max": Metric(max, "largest pi_learner / pi_engine of a completion token"),
    "ratio/min": Metric(min, "smallest pi_learner / pi_engine of a completion token"),
    "clip_ratio/low": Metric(
        mean,
        "share of the step's completion tokens (gspo: completions) with a negative advantage and a "
        "ratio below the lower bound, as in TRL; cispo_band: of either sign",
    ),
    "clip_ratio/high": Metric(
        mean, "the same with a positive advantage and a ratio above the upper bound"
    ),
    "clip_ratio/region": Metric(mean, "the sum of both"),
    "clip_ratio/cap": Metric(
        mean,
        "share of the step's completion tokens with a negative advantage that delta or dual bounds",
    ),
    "kl/behaviour": Metric(
        mean, "k3 estimate in nats of KL(engine || learner) over completion tokens"
    ),
    "kl/reference": Metric(
        mean, "k3 estimate in nats of KL(learner || base model) over completion tokens"
    ),
    "reward/kl_cost": Metric(
        mean, "mean that the KL penalty took from a completion's reward, at the policy that sampled"
    ),
    "mismatch/k1": Metric(
        first,
        "k1 estimate in nats of KL(engine || learner) before the step's first update: staleness, "
        "or at lag 0 the numerical difference of the two",
    ),
    "mismatch/k3": Metric(first, "the same by the k3 estimate, which is never negative"),
    "mismatch/max": Metric(
        first, "largest difference in nats between engine and learner before the first update"
    ),
    "correction/weight": Metric(mean, "mean off-policy weight of completion tokens"),
    "correction/weight_min": Metric(min, "smallest off-policy weight of a completion token"),
    "correction/weight_max": Metric(max, "largest off-policy weight of a completion token"),
    "correction/kept": Metric(mean, "share of completion tokens with an off-policy weight above 0"),
    "correction/ess": Metric(
        mean,
        "effective sample size of the off-policy weights, as a share of the completion tokens",
    ),
    "rejection/kept": Metric(mean, "share of completion tokens that passed every rejection"),
    "rejection/kept_sequences": Metric(
        mean, "share of completions of which a token passed every rejection"
    ),
    "sequence_mask/kept": Metric(
        mean, "share of completion tokens that the off-policy sequence mask kept"
    ),
    "entropy/coefficient": Metric(last, "weight of the entropy bonus at the last update"),
    "effective_rank/mean": Metric(
        mean, "mean over responses of the effective rank of their final-norm hidden states"
    ),
    "effective_rank/velocity": Metric(
        mean, "mean growth of a response's effective rank over the mean of shorter prefixes"
    ),
    "effective_rank/acceleration": Metric(
        mean, "mean change of that growth from one prefix to the next"
    ),
    "shaping/bonus": Metric(mean, "mean that shaping added to the advantage of a completion token"),
    "reward/mean": Metric(mean, "mean reward of the step's completions"),
    "reward/shaped_mean": Metric(mean, "mean reward after unlikeliness and overlong shaping"),
    "reward/std": Metric(mean, "standard deviation of reward over the step's completions"),
    "reward/stderr": Metric(
        mean, "standard error of the mean reward, groups being the independent units"
    ),
    "sampling/filtered_groups": Metric(
        last, "groups left out since the last step because all their rewards were equal"
    ),
    "sampling/kept_fraction": Metric(
        last, "groups trained on, as a share of those and of the groups left out"
    ),
    "sampling/reward_mean": Metric(
        last, "mean reward of the groups trained on and of those left out"
    ),
    "frac_degenerate_groups": Metric(
        mean, "share of groups whose rewards are all equal: no credit to learn from"
    ),
    "frac_teaching_groups": Metric(
        mean,
        "share of groups with a token whose advantage no weight or mask takes away",
    ),
    "advantage/max": Metric(
        max, "largest advantage of a completion, the mean over its tokens, as trained on"
    ),
    "advantage/min": Metric(
        min, "smallest advantage of a completion, the mean over its tokens, as trained on"
    ),
    "completion/length_mean": Metric(mean, "mean completion length in tokens"),
    "completion/length_max": Metric(max, "longest completion in tokens"),
    "completion/clipped_ratio": Metric(mean, "share of completions cut at rollout.max_new_tokens"),
    "tokens/step": Metric(sum, "prompt and completion tokens trained on"),
    "tokens/completion": Metric(sum, "completion tokens trained on"),
    "update/unchanged_fp32": Metric(
        last, "share of the adapted weights, base plus adapter, that equal the base in float32"
    ),
    "update/unchanged_bf16": Metric(
        last, "the same after rounding both to bfloat16, as in a published checkpoint"
    ),
    "update/unchanged_1e-5": Metric(
        last, "share whose difference in bfloat16 is at most 1e-5 (arXiv 2505.11711)"
    ),
    "update/adapter_unchanged_fp32": Metric(
        last, "share of the adapter matrices' own entries that equal those at the start"
    ),
    "update/adapter_unchanged_bf16": Metric(last, "the same after rounding both to bfloat16"),
    "update/relative_norm": Metric(
        last, "Frobenius norm of the change of all adapted weights, as a share of the base's"
    ),
    "update/rank": Metric(last, "numerical rank of a matrix's change, mean over matrices"),
    "update/rank_share": Metric(last, "that rank as a share of the largest possible"),
    "update/overlap_fp32": Metric(
        last,
        "share of the weights changed since the last measurement that had changed in the window "
        "before too, in float32",
    ),
    "update/overlap_bf16": Metric(last, "the same in bfloat16"),
    "update/overlap_chance_fp32": Metric(
        last, "that share if each window's changes were anywhere in their matrix, in float32"
    ),
    "update/overlap_chance_bf16": Metric(last, "the same in bfloat16"),
    "staleness/mean": Metric(
        mean, "mean age of the step's groups in policy versions when trained on"
    ),
    "staleness/max": Metric(max, "age of the oldest group in policy versions when trained on"),
    "queue/wait_s": Metric(mean, "mean seconds that the step's groups waited to be trained on"),
    "queue/stale_total": Metric(last, "groups dropped for their age since the start"),
    "queue/redelivered_total": Metric(last, "groups handed out again since the start"),
    "queue/stale_tokens_mean": Metric(
        last, "mean tokens of dropped groups: above the trained ones' mean, dropping is biased"
    ),
    "queue/trained_tokens_mean": Metric(last, "mean tokens of the groups trained on so far"),
    "time/step_s": Metric(last, "seconds since the previous step ended"),
    "perf/samples_per_s": Metric(last, "completions trained on per second of wall time"),
}
"""Name -> (fold, meaning)."""

FAMILIES: dict[str, Metric] = {
    "reward/part/": Metric(mean, "mean of one part of the reward, named by the task"),
    "reward/part_stderr/": Metric(mean, "standard error of one part's mean, across groups"),
    "uplift/raised/": Metric(
        sum, "good completions of a likelihood rank that the step made more likely"
    ),
    "uplift/counted/": Metric(sum, "good completions of a likelihood rank, 1 the likeliest"),
    "staleness/share/": Metric(
        mean, "share of the step's completion tokens that were sampled this many versions ago"
    ),
    "eval/": Metric(last, "held-out measure during training, named as in ir_measures"),
}
"""Prefix -> what every name under it is; the rest of the name is chosen by a task or a config."""


def metric(name: str) -> Metric:
    """The glossary entry of ``name``. KeyError with the nearest name when there is none."""
    if name in METRICS:
        return METRICS[name]
    for prefix, family in FAMILIES.items():
        if name.startswith(prefix) and name != prefix:
            return family
    near = difflib.get_close_matches(name, METRICS, n=1)
    hint = f"; the nearest is {near[0]!r}" if near else ""
    raise KeyError(f"metric {name!r} is not in rlpost.tracking.metrics.METRICS{hint}")


def fold(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Several reports of one step as one, each name by its own fold."""
    names = dict.fromkeys(name for report in reports for name in report)
    return {
        name: float(metric(name).fold([report[name] for report in reports if name in report]))
        for name in names
    }


def group_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """What a step's groups say by themselves: reward, its standard error and parts, lengths.

    A reward of NaN ("does not apply") counts nowhere.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rewards = _applicable([rollout.score.total for rollout in rollouts])
    group_means = [mean(_applicable(g.rewards_G)) for g in groups if _applicable(g.rewards_G)]
    lengths = [len(rollout.completion.token_ids) for rollout in rollouts]
    return {
        "reward/mean": mean(rewards),
        "reward/std": statistics.stdev(rewards) if len(rewards) > 1 else 0.0,
        "reward/stderr": _stderr(group_means),
        "frac_degenerate_groups": mean([is_degenerate(group.rewards_G) for group in groups]),
        "completion/length_mean": mean(lengths),
        "completion/length_max": float(max(lengths)),
        "completion/clipped_ratio": mean([r.completion.finish == "length" for r in rollouts]),
        **_parts(groups),
    }


def _parts(groups: Sequence[Group]) -> dict[str, float]:
    names = dict.fromkeys(name for g in groups for r in g.rollouts for name in r.score.parts)
    metrics = {}
    for name in names:
        values_P_G = [[r.score.parts.get(name, math.nan) for r in g.rollouts] for g in groups]
        found_P_G = [found for values_G in values_P_G if (found := _applicable(values_G))]
        metrics[f"reward/part/{name}"] = mean([value for found in found_P_G for value in found])
        metrics[f"reward/part_stderr/{name}"] = _stderr([mean(found) for found in found_P_G])
    return metrics


def _applicable(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _stderr(values: Sequence[float]) -> float:
    """Sample standard deviation / sqrt(n); 0 for a single value, which has no spread."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
