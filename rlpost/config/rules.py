"""Rules between keys of a config: what no single key can check."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rlpost.config.algorithm import ClipObjective
from rlpost.config.off_policy import AdaptiveEntropy, BoundsRejection, WeightCorrection
from rlpost.config.rules_credit import CREDIT_RULES
from rlpost.config.task import ChoosingTask, PgRankTask, RecommendTask, RerankTask

if TYPE_CHECKING:
    from rlpost.config.run import RunConfig


def prompt_has_room(cfg: RunConfig) -> str | None:
    if cfg.longest_prompt >= 1:
        return None
    return (
        f"rollout.max_new_tokens is {cfg.rollout.max_new_tokens}, which leaves no room for a "
        f"prompt in model.max_length {cfg.model.max_length}: raise the latter or lower the former"
    )


def sample_fits_batch(cfg: RunConfig) -> str | None:
    if cfg.learner.tokens_per_batch >= cfg.model.max_length:
        return None
    return (
        f"learner.tokens_per_batch is {cfg.learner.tokens_per_batch}, smaller than one sample may "
        f"be (model.max_length {cfg.model.max_length}): use at least that"
    )


def engine_suits_task(cfg: RunConfig) -> str | None:
    needed = "encoder" if cfg.task.kind == "pg_rank" else "vllm or hf"
    if (cfg.rollout.engine == "encoder") == (cfg.task.kind == "pg_rank"):
        return None
    return (
        f"rollout.engine is {cfg.rollout.engine!r}, which task.kind {cfg.task.kind!r} cannot use: "
        f"set it to {needed}"
    )


def encoders_do_not_write(cfg: RunConfig) -> str | None:
    wanted = {
        "model.warm_start.steps > 0": cfg.model.warm_start.steps > 0,
        "algorithm.shaping": cfg.algorithm.shaping is not None,
        "algorithm.reward.overlong": cfg.algorithm.reward.overlong is not None,
        "algorithm.reward.truncated=mask": cfg.algorithm.reward.truncated == "mask",
    }
    chosen = [name for name, is_wanted in wanted.items() if is_wanted]
    if cfg.task.kind != "pg_rank" or not chosen:
        return None
    return f"{' and '.join(chosen)}: task.kind 'pg_rank' has no written answers: leave it out"


def passages_fit_prompt(cfg: RunConfig) -> str | None:
    task = cfg.task
    if not isinstance(task, RerankTask | PgRankTask | ChoosingTask):
        return None
    passages = task.candidates * task.passage_tokens + task.query_tokens
    if passages <= cfg.longest_prompt or cfg.longest_prompt < 1:
        return None
    return (
        f"task.candidates * task.passage_tokens + task.query_tokens is {passages}, more "
        f"than the {cfg.longest_prompt} tokens that model.max_length leaves for a prompt: "
        "shorten the passages"
    )


def workers_have_work(cfg: RunConfig) -> str | None:
    calls = -(-cfg.groups_per_step // cfg.rollout.prompts_per_call)
    if cfg.rollout.workers <= calls * (cfg.streaming.max_lag + 1):
        return None
    return (
        f"rollout.workers is {cfg.rollout.workers} but a step has only {calls} engine calls: "
        "lower it, or rollout.prompts_per_call, or raise groups_per_step"
    )


def responses_have_a_velocity(cfg: RunConfig) -> str | None:
    shaping = cfg.algorithm.shaping
    if shaping is None:
        return None
    seen = {"rollout.max_new_tokens": cfg.rollout.max_new_tokens}
    if shaping.window is not None:
        seen["algorithm.shaping.window"] = shaping.window
    name = min(seen, key=lambda key: seen[key])
    if seen[name] > 2 * shaping.stride:
        return None
    return (
        f"{name} is {seen[name]}, but the velocity of a response exists from "
        f"{2 * shaping.stride + 1} tokens on at algorithm.shaping.stride {shaping.stride}: lower "
        "the stride"
    )


def sync_suits_dtype(cfg: RunConfig) -> str | None:
    if cfg.rollout.sync != "merged" or cfg.model.dtype == "float32":
        return None
    return (
        f"rollout.sync is 'merged' but model.dtype is {cfg.model.dtype!r}, in which updates of the "
        "size of RL's vanish: set model.dtype=float32 or rollout.sync=adapter"
    )


def transforms_reach_credit(cfg: RunConfig) -> str | None:
    algorithm = cfg.algorithm
    transforms = algorithm.reward.transforms(limit=cfg.rollout.max_new_tokens)
    if not transforms or algorithm.credit.kind in ("group_mean", "leave_one_out"):
        return None
    return (
        f"algorithm.reward.{transforms[0]['kind']} changes the total reward, which "
        f"algorithm.credit.kind {algorithm.credit.kind!r} does not read: use group_mean or "
        "leave_one_out, or remove it"
    )


def overlong_margin_fits(cfg: RunConfig) -> str | None:
    overlong, limit = cfg.algorithm.reward.overlong, cfg.rollout.max_new_tokens
    if overlong is None or overlong.margin < limit:
        return None
    return (
        f"algorithm.reward.overlong.margin is {overlong.margin}, which punishes every completion "
        f"at rollout.max_new_tokens {limit}: use less"
    )


def ranks_need_a_list(cfg: RunConfig) -> str | None:
    algorithm, of_ranks = cfg.algorithm, ("rank", "rank_grpo", "rank_mean")
    parts = {name: getattr(algorithm, name).kind for name in ("credit", "objective", "aggregation")}
    chosen = [f"algorithm.{name}.kind={kind}" for name, kind in parts.items() if kind in of_ranks]
    if not chosen or isinstance(cfg.task, RecommendTask):
        return None
    return (
        f"{', '.join(chosen)}: task.kind {cfg.task.kind!r} writes no list whose ranks could earn "
        "credit: set task.kind=recommend, or choose a credit, objective and aggregation without "
        "ranks"
    )


def minibatches_have_samples(cfg: RunConfig) -> str | None:
    if cfg.learner.minibatches <= cfg.samples_per_step:
        return None
    return (
        f"learner.minibatches is {cfg.learner.minibatches}, but a step has only "
        f"{cfg.samples_per_step} completions (groups_per_step * rollout.group_size): lower it"
    )


def list_fits_catalogue(cfg: RunConfig) -> str | None:
    task = cfg.task
    if not isinstance(task, RecommendTask) or task.list_length <= task.catalogue:
        return None
    return (
        f"task.list_length is {task.list_length}, but task.catalogue has only {task.catalogue} "
        "titles: lower the former or raise the latter"
    )


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


RULES: tuple[Callable[[RunConfig], str | None], ...] = (
    prompt_has_room,
    sample_fits_batch,
    engine_suits_task,
    encoders_do_not_write,
    passages_fit_prompt,
    workers_have_work,
    sync_suits_dtype,
    transforms_reach_credit,
    overlong_margin_fits,
    responses_have_a_velocity,
    ranks_need_a_list,
    minibatches_have_samples,
    list_fits_catalogue,
    *ALGORITHM_RULES,
    *CREDIT_RULES,
)
"""Each gives the sentence to show, or None."""


RESOLUTION = {"bfloat16": 2.0**-8, "float32": 2.0**-23}
"""Relative spacing of numbers: ratios closer to 1 than this are rounding."""


MARGIN = 4
"""A clip band is at least this many times as wide, or it clips noise."""


WHOLE_SEQUENCES = ("gspo", "gmpo")
"""Objectives with one ratio for all tokens of a sequence."""
