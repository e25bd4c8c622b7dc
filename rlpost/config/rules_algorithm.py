"""Rules about the algorithm: bounds in order, parts that suit each other, terms with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rlpost.config.algorithm import ClipObjective
from rlpost.config.off_policy import AdaptiveEntropy, BoundsRejection, WeightCorrection

if TYPE_CHECKING:
    from rlpost.config.run import RunConfig


def absence_has_a_cause(cfg: RunConfig) -> str | None:
    algorithm = cfg.algorithm
    if algorithm.rejected == "counted":
        return None
    if not algorithm.rejections:
        return "algorithm.rejected is 'absent' but algorithm.rejections names none: add one"
    if algorithm.aggregation.kind == "rank_mean":
        return (
            "algorithm.rejected 'absent' would leave holes in the ranks that "
            "algorithm.aggregation.kind 'rank_mean' averages: use rejected=counted"
        )
    return None


def band_is_wider_than_rounding(cfg: RunConfig) -> str | None:
    """With a correction both sides of the ratio come from the learner and are rounded alike."""
    objective = cfg.algorithm.objective
    values = objective.model_dump()
    least = MARGIN * RESOLUTION[cfg.model.dtype]
    narrow = [f"{key} {values[key]:g}" for key in ("low", "high", "band") if key in values]
    narrow = [text for text in narrow if float(text.split()[1]) < least]
    if not narrow or cfg.algorithm.correction is not None:
        return None
    return (
        f"algorithm.objective ({objective.kind}) clips at {' and '.join(narrow)} from 1, but "
        f"model.dtype {cfg.model.dtype} resolves ratios of engine and learner to {least:.2g} only: "
        "use float32, wider bounds, or algorithm.correction.kind=unweighted, which compares the "
        "learner with itself"
    )


def bounds_are_in_order(cfg: RunConfig) -> str | None:
    algorithm = cfg.algorithm
    sections = {
        "algorithm.correction": algorithm.correction,
        "algorithm.entropy": algorithm.entropy,
        **{f"algorithm.rejections ({one.kind})": one for one in algorithm.rejections},
    }
    for name, section in sections.items():
        values = {} if section is None else section.model_dump()
        if "low" in values and values["low"] >= values["high"]:
            return f"{name}: low {values['low']:g} is not below high {values['high']:g}"
    return None


def caps_lie_beyond_the_clip(cfg: RunConfig) -> str | None:
    objective = cfg.algorithm.objective
    if not isinstance(objective, ClipObjective) or objective.delta is None:
        return None
    delta, dual, upper = objective.delta, objective.dual, 1 + objective.high
    if delta <= upper:
        return (
            f"algorithm.objective.delta {delta:g} is not above 1 + high = {upper:g}, so that it "
            "would clip positive advantages in the place of high: raise it, or lower high"
        )
    if dual is not None:
        larger = "delta" if delta > dual else "dual"
        return (
            f"algorithm.objective.delta {delta:g} and dual {dual:g} both bound negative "
            f"advantages, where {larger} would never act: keep the other alone"
        )
    return None


def entropy_starts_within(cfg: RunConfig) -> str | None:
    entropy = cfg.algorithm.entropy
    if not isinstance(entropy, AdaptiveEntropy):
        return None
    if entropy.low <= entropy.initial <= entropy.high or entropy.low >= entropy.high:
        return None
    return (
        f"algorithm.entropy.initial {entropy.initial:g} is outside low {entropy.low:g} to high "
        f"{entropy.high:g}: begin within"
    )


def loss_kl_has_a_gradient(cfg: RunConfig) -> str | None:
    kl = cfg.algorithm.kl
    if kl is None or kl.kind != "k1" or kl.where == "reward" or kl.bias_correction:
        return None
    return (
        "algorithm.kl.kind 'k1' has, as a term of the loss, the same gradient whatever the "
        "reference, so that it holds the policy to nothing: use k2, k3 or k3_plus, "
        "bias_correction=true, or where=reward"
    )


def masks_suit_objective(cfg: RunConfig) -> str | None:
    algorithm = cfg.algorithm
    if algorithm.objective.kind not in WHOLE_SEQUENCES:
        return None
    correction = algorithm.correction
    by_token = {
        "algorithm.correction.level=token": isinstance(correction, WeightCorrection)
        and correction.level == "token",
        "algorithm.rejections (by token)": any(
            not isinstance(one, BoundsRejection) or one.scope == "token"
            for one in algorithm.rejections
        ),
        "algorithm.top_entropy": algorithm.top_entropy is not None,
    }
    chosen = [name for name, is_chosen in by_token.items() if is_chosen]
    if not chosen:
        return None
    return (
        f"algorithm.objective.kind {algorithm.objective.kind!r} has one ratio for a whole "
        f"sequence, {' and '.join(chosen)} would weigh its tokens apart: judge whole sequences "
        "(level or scope), or use gspo_token or clip"
    )


def on_policy_tokens_pass(cfg: RunConfig) -> str | None:
    """Where sampler and learner agree the ratio is 1 and every divergence 0."""
    for one in cfg.algorithm.rejections:
        if not isinstance(one, BoundsRejection):
            continue
        if one.divergence == "ratio" and not one.low < 1 < one.high:
            return (
                f"algorithm.rejections (bounds): ratios from {one.low:g} to {one.high:g} shut out "
                "1, where sampler and learner agree: use bounds on both sides of it"
            )
        if one.divergence != "ratio" and one.low > 0:
            return (
                f"algorithm.rejections (bounds): low {one.low:g} leaves out tokens on which "
                f"sampler and learner agree, whose {one.divergence} is 0: use low=0"
            )
    return None


def on_policy_weights_pass(cfg: RunConfig) -> str | None:
    """Where sampler and learner agree a token weighs 1, which no bounds may shut out."""
    correction = cfg.algorithm.correction
    if not isinstance(correction, WeightCorrection):
        return None
    low, high = correction.low, correction.high
    if low <= 1 <= high and (correction.kind == "truncated" or 1 not in (low, high)):
        return None
    return (
        f"algorithm.correction: weights from {low:g} to {high:g} shut out 1, the weight of a token "
        "on which sampler and learner agree: use bounds on both sides of it"
    )


def reward_kl_means_something(cfg: RunConfig) -> str | None:
    kl, credit = cfg.algorithm.kl, cfg.algorithm.credit
    if kl is None or kl.where == "loss":
        return None
    if kl.bias_correction:
        return (
            "algorithm.kl.bias_correction weighs a term of the loss, but algorithm.kl.where is "
            "'reward': remove one of the two"
        )
    if credit.kind not in ("group_mean", "leave_one_out"):
        return (
            f"algorithm.kl.where 'reward' changes the total reward, which algorithm.credit.kind "
            f"{credit.kind!r} does not read: use where=loss, or group_mean or leave_one_out"
        )
    return None


def unweighted_has_a_ratio(cfg: RunConfig) -> str | None:
    algorithm = cfg.algorithm
    correction = algorithm.correction
    if correction is None or correction.kind != "unweighted":
        return None
    if algorithm.objective.kind != "reinforce":
        return None
    return (
        "algorithm.correction.kind 'unweighted' changes the ratio of the objective alone, and "
        "algorithm.objective.kind 'reinforce' has none: use truncated or masked, or leave it out"
    )


def vespo_takes_token_weights(cfg: RunConfig) -> str | None:
    correction = cfg.algorithm.correction
    if cfg.algorithm.objective.kind != "vespo" or not isinstance(correction, WeightCorrection):
        return None
    if correction.level == "token" and not correction.normalise:
        return None
    return (
        "algorithm.objective.kind 'vespo' multiplies the weights of a sequence's tokens itself: "
        "set algorithm.correction.level=token and normalise=false"
    )


ALGORITHM_RULES: tuple[Callable[[RunConfig], str | None], ...] = (
    band_is_wider_than_rounding,
    masks_suit_objective,
    vespo_takes_token_weights,
    bounds_are_in_order,
    absence_has_a_cause,
    reward_kl_means_something,
    loss_kl_has_a_gradient,
    unweighted_has_a_ratio,
    caps_lie_beyond_the_clip,
    on_policy_weights_pass,
    on_policy_tokens_pass,
    entropy_starts_within,
)
"""Each gives the sentence to show, or None."""


RESOLUTION = {"bfloat16": 2.0**-8, "float32": 2.0**-23}
"""Relative spacing of numbers: ratios closer to 1 than this are rounding."""


MARGIN = 4
"""A clip band is at least this many times as wide, or it clips noise."""


WHOLE_SEQUENCES = ("gspo", "gmpo")
"""Objectives with one ratio for all tokens of a sequence."""
