"""Task `rerank`: the policy orders passages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rlpost.config.run import RunConfig
from rlpost.config.task import RerankTask
from rlpost.models.loading import context_length, load_tokenizer, renderer
from rlpost.protocols import Reward
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.fingerprint import fingerprint
from rlpost.tasks.ranking.collection import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.ranking.prompts import ChatPromptWriter, PromptLayout, RerankPrompts
from rlpost.tasks.ranking.rewards import (
    JudgedRerankReward,
    RerankReward,
    reranker_of,
    teacher_answer,
    texts_of,
)


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``."""
    task = cfg.task
    assert isinstance(task, RerankTask)
    require_first_stage(cfg.data)
    tokenizer = load_tokenizer(cfg.model.path)
    context_length(cfg.model.path, cfg.model.max_length)
    shape = PromptLayout(
        num_candidates=task.candidates,
        template=task.template,
        passage_tokens=task.passage_tokens,
        query_tokens=task.query_tokens,
        longest_prompt=cfg.longest_prompt,
    )

    def writer_of(split: str) -> ChatPromptWriter:
        collection, run = candidate_lists(
            cfg.data, split, depth=task.candidates, say=say, seed=cfg.seed
        )
        return ChatPromptWriter(
            collection=collection,
            run=run,
            shape=shape,
            tokenizer=tokenizer,
            render=renderer(tokenizer, cfg.model.chat_template_kwargs),
        )

    training = writer_of(cfg.data.train_split)
    measured = writer_of(cfg.data.eval_split)
    refuse_overlap(training.collection, measured.collection)
    return PreparedTask(
        source=RerankPrompts(training, seed=cfg.seed, judged=task.reward is None),
        reward=_reward(task, training),
        imitate=partial(teacher_answer, training),
        held_out=held_out(measured, cfg),
        data=fingerprint(training, measured),
    )


def _reward(task: RerankTask, writer: ChatPromptWriter) -> Callable[[], Reward]:
    by_gains = partial(RerankReward, depth=task.measure_depth, format_weight=task.format_weight)
    if task.reward is None:
        return by_gains
    queries = writer.collection.queries
    texts = texts_of(writer, queries)
    return partial(JudgedRerankReward, queries, texts, reranker_of(task.reward), by_gains())
