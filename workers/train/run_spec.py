"""Config -> RunSpec: the one place where configuration keys become arguments of constructors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rankers.config_file import Section
from rankers.prompting.parsing import parse_permutation
from rlpost.config.run import RunConfig
from rlpost.config.task import PgRankTask
from rlpost.learner.build import build_learner
from rlpost.learner.choices import Choices
from rlpost.learner.optim import OptimSettings
from rlpost.models.loading import load_tokenizer
from rlpost.protocols import Engine, Learner
from rlpost.rollout.collect import Plan
from rlpost.rollout.dynamic_sampling import DynamicSampling
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.ranking.prompts import candidates_of
from rlpost.types import Sampling
from rlpost.weights.lora import LoraSettings
from workers.train.spec import CanarySpec, CheckpointPlan, Resources, RunSpec, Streaming

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5}
"""Nats by which engine and learner may differ on the canary; scripts/bench/engine_parity
measures up to 0.13 in bfloat16 and 1e-5 in float32."""


def run_spec(
    cfg: RunConfig,
    *,
    prepared: PreparedTask,
    model_path: Path,
    run_dir: Path,
    identity: Mapping[str, Any] | None = None,
) -> RunSpec:
    """Everything the driver needs; ``model_path`` is the model RL starts from."""
    return RunSpec(
        plan=plan(cfg, run_dir),
        source=prepared.source,
        engine=ENGINES[cfg.rollout.engine](cfg, str(model_path)),
        reward=prepared.reward,
        learner=learner_factory(cfg, str(model_path)),
        checkpoints=CheckpointPlan(
            run_dir=run_dir, every=cfg.checkpoint.every, keep=cfg.checkpoint.keep
        ),
        streaming=Streaming(
            max_lag=cfg.streaming.max_lag,
            queue_bytes=cfg.streaming.queue_mb << 20,
            lease_ttl_s=cfg.streaming.lease_ttl_s,
            max_attempts=cfg.streaming.max_attempts,
            stall_s=cfg.streaming.stall_s,
            node_wait_s=cfg.streaming.node_wait_s,
        ),
        resources=Resources(
            rollout_workers=cfg.rollout.workers,
            rollout_gpus=cfg.rollout.gpus_per_worker,
            learner_gpus=cfg.learner.gpus,
        ),
        canary=canary(cfg, prepared, model_path),
        identity=identity or {},
    )


def plan(cfg: RunConfig, run_dir: Path) -> Plan:
    """The numbers of the run."""
    dynamic = cfg.algorithm.dynamic_sampling
    return Plan(
        run_id=cfg.name,
        seed=cfg.seed,
        steps=cfg.steps,
        groups_per_step=cfg.groups_per_step,
        group_size=cfg.rollout.group_size,
        prompts_per_call=cfg.rollout.prompts_per_call,
        sampling=Sampling(
            temperature=cfg.rollout.temperature, max_tokens=cfg.rollout.max_new_tokens
        ),
        policies=run_dir / "policies",
        dynamic_sampling=None if dynamic is None else DynamicSampling(max_ratio=dynamic.max_ratio),
    )


def vllm_factory(cfg: RunConfig, model_path: str) -> Callable[[], Engine]:
    """Builds a VllmEngine, in the process that calls it."""
    return partial(
        _vllm,
        model_path=model_path,
        dtype=cfg.model.dtype,
        max_length=cfg.model.max_length,
        kv_cache_mb=cfg.rollout.kv_cache_mb,
        sync=cfg.rollout.sync,
        max_lora_rank=cfg.model.lora.rank,
        max_loras=cfg.streaming.max_lag + 2,
    )


def hf_factory(cfg: RunConfig, model_path: str) -> Callable[[], Engine]:
    """Builds an HfEngine, in the process that calls it."""
    return partial(
        _hf, model_path=model_path, dtype=cfg.model.dtype, max_length=cfg.model.max_length
    )


def encoder_factory(cfg: RunConfig, model_path: str) -> Callable[[], Engine]:
    """Builds an EncoderEngine, in the process that calls it."""
    return partial(_encoder, model_path=model_path, dtype=cfg.model.dtype, scale=_score_scale(cfg))


ENGINES: dict[str, Callable[[RunConfig, str], Callable[[], Engine]]] = {
    "vllm": vllm_factory,
    "hf": hf_factory,
    "encoder": encoder_factory,
}


def learner_factory(cfg: RunConfig, model_path: str) -> Callable[[], Learner]:
    """Builds a TorchLearner, in the process that calls it."""
    return partial(
        build_learner,
        model_path=model_path,
        dtype=cfg.model.dtype,
        lora=LoraSettings(
            rank=cfg.model.lora.rank,
            alpha=cfg.model.lora.alpha,
            target_modules=cfg.model.lora.target_modules,
            dropout=cfg.model.lora.dropout,
        ),
        seed=cfg.seed,
        optim=OptimSettings(
            learning_rate=cfg.learner.learning_rate,
            schedule=cfg.learner.schedule,
            warmup_steps=cfg.learner.warmup_steps,
            total_steps=cfg.steps * cfg.learner.epochs * cfg.learner.minibatches,
            weight_decay=cfg.learner.weight_decay,
            max_grad_norm=cfg.learner.max_grad_norm,
        ),
        tokens_per_batch=cfg.learner.tokens_per_batch,
        temperature=cfg.rollout.temperature,
        epochs=cfg.learner.epochs,
        minibatches=cfg.learner.minibatches,
        diagnostics_every=cfg.learner.diagnostics_every,
        uplift_every=cfg.learner.uplift_every,
        score_scale=_score_scale(cfg),
        **choices(cfg),
    )


def choices(cfg: RunConfig) -> Choices:
    """What the algorithm is made of."""
    algorithm = cfg.algorithm
    return Choices(
        credit=algorithm.credit.model_dump(),
        objective=algorithm.objective.model_dump(),
        aggregation=algorithm.aggregation.model_dump(),
        transforms=algorithm.reward.transforms(limit=cfg.rollout.max_new_tokens),
        mask_truncated=algorithm.reward.truncated == "mask",
        correction=_dump(algorithm.correction),
        rejections=[rejection.model_dump() for rejection in algorithm.rejections],
        rejected=algorithm.rejected,
        sequence_mask=_dump(algorithm.sequence_mask),
        top_entropy=algorithm.top_entropy,
        kl=_dump(algorithm.kl),
        entropy=_dump(algorithm.entropy),
        shaping=_dump(algorithm.shaping),
    )


def canary(cfg: RunConfig, prepared: PreparedTask, model_path: Path) -> CanarySpec:
    """The first training prompt with the answer that the task would imitate."""
    prompt = prepared.source.prompt(0)
    answer = prepared.imitate(prompt)
    completion_ids: tuple[int, ...]
    if cfg.rollout.engine == "encoder":
        completion_ids = parse_permutation(answer, len(candidates_of(prompt).doc_ids)).order
    else:
        tokenizer = load_tokenizer(model_path)
        completion_ids = tuple(tokenizer(answer, add_special_tokens=False)["input_ids"])
    return CanarySpec(
        prompt_ids=prompt.token_ids,
        completion_ids=completion_ids,
        tolerance=TOLERANCE[cfg.model.dtype],
    )


def _dump(section: Section | None) -> dict[str, Any] | None:
    return None if section is None else section.model_dump()


def _score_scale(cfg: RunConfig) -> float | None:
    return cfg.task.score_scale if isinstance(cfg.task, PgRankTask) else None


def _vllm(**settings: Any) -> Engine:
    from rlpost.rollout.engines.vllm import VllmEngine

    return VllmEngine(**settings)


def _hf(**settings: Any) -> Engine:
    from rlpost.rollout.engines.hf import HfEngine

    return HfEngine(**settings)


def _encoder(**settings: Any) -> Engine:
    from rlpost.rollout.engines.encoder import EncoderEngine

    return EncoderEngine(**settings)
