"""Config -> everything a run needs before a model is loaded, by the task that the config names."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from rankers.errors import UserError
from rankers.model_path import resolve
from rlpost.config.run import RunConfig
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.ranking import iranker, pg_rank, rank_r1
from rlpost.tasks.ranking.rerank import prepare as rerank_data_prepare
from rlpost.tasks.ranking.rewrite import prepare as rewrite_data_prepare
from rlpost.tasks.recommendation import setup

Say = Callable[[str], None]

TASKS: dict[str, Callable[[RunConfig, Say], PreparedTask]] = {
    "rerank": rerank_data_prepare,
    "recommend": setup.prepare,
    "pg_rank": pg_rank.prepare,
    "rank_r1": rank_r1.prepare,
    "iranker": iranker.prepare,
    "rewrite": rewrite_data_prepare,
}
"""``task.kind`` -> its preparation."""

ENGINE_MODULES = {
    "vllm": "vllm",
    "hf": "transformers",
    "encoder": "sentence_transformers",
}


def prepare(cfg: RunConfig, *, say: Say) -> PreparedTask:
    """Load and check everything that needs no model. ``say`` is told what takes time.

    Raises UserError or DataError: one sentence with the value and the remedy.
    """
    if find_spec(ENGINE_MODULES[cfg.rollout.engine]) is None:
        raise UserError(
            f"rollout.engine is {cfg.rollout.engine!r} but it is not installed: "
            "run scripts/setup, or set rollout.engine=hf"
        )
    prepared = TASKS[cfg.task.kind](cfg, say)
    refuse_broken(cfg)
    return prepared


def refuse_broken(cfg: RunConfig) -> None:
    """UserError or DataError for a checkpoint that lacks weights, before any engine starts."""
    if cfg.rollout.engine == "encoder":
        from rlpost.models.encoder import Encoder

        Encoder(cfg.model.path)
    else:
        from rankers.backends.weights import check_causal

        check_causal(resolve(cfg.model.path))
