"""Rules between keys of a config: what no single key can check."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rlpost.config.rules_algorithm import ALGORITHM_RULES
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
