"""Config -> task `rewrite`: queries, the reranker that judges them, and those to measure on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rankers.prompts import cut
from rlpost.config import RunConfig
from rlpost.config_task import RewriteTask
from rlpost.errors import UserError
from rlpost.models import context_length, load_tokenizer, renderer
from rlpost.tasks.fingerprint import fingerprint
from rlpost.tasks.judging import reranker_of, texts_of
from rlpost.tasks.rerank import TrainingPrompts
from rlpost.tasks.rerank_data import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.rewrite import RewriteReward, RewriteWriter, RewrittenRun
from rlpost.tasks.task import Prepared
from rlpost.types import Prompt


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> Prepared:
    """See ``rlpost.prepare.prepare``. Asks the reranker for the held-out queries as they are."""
    task = cfg.task
    assert isinstance(task, RewriteTask)
    require_first_stage(cfg.data)
    tokenizer = load_tokenizer(cfg.model.path)
    context_length(cfg.model.path, cfg.model.max_length)

    def writer_of(split: str) -> RewriteWriter:
        collection, run = candidate_lists(
            cfg.data, split, depth=task.candidates, say=say, seed=cfg.seed
        )
        return RewriteWriter(
            collection=collection,
            run=run,
            num_candidates=task.candidates,
            cut=partial(cut, tokenizer=tokenizer, max_tokens=task.query_tokens),
            render=renderer(tokenizer, cfg.model.chat_template_kwargs),
        )

    training, measured = writer_of(cfg.data.train_split), writer_of(cfg.data.eval_split)
    refuse_overlap(training.collection, measured.collection)
    check_room(cfg, training)
    reranker = reranker_of(task.reward)
    queries = held_out(measured, cfg)
    say("reranking the held-out queries as they are")
    rewriting = RewrittenRun(measured, queries.prompts, reranker())
    return Prepared(
        source=TrainingPrompts(training, seed=cfg.seed),
        reward=partial(
            RewriteReward,
            texts_of(training, training.collection.queries),
            reranker,
            depth=task.measure_depth,
        ),
        imitate=partial(as_asked, training),
        data=fingerprint(training, measured),
        held_out=replace(
            queries,
            shown=None,
            rerank=rewriting,
            baselines={
                "first stage": queries.baselines["first stage"],
                "query as asked": rewriting.of({}),
            },
        ),
    )


def as_asked(writer: RewriteWriter, prompt: Prompt) -> str:
    """What a warm start imitates: the query itself, so that RL starts from no harm done."""
    return writer.query(prompt.id)


def check_room(cfg: RunConfig, writer: RewriteWriter) -> None:
    """UserError unless the longest query fits into prompt and answer."""
    task = cfg.task
    assert isinstance(task, RewriteTask)
    empty = writer.write(next(iter(writer.collection.queries)), seed=0)
    prompt = len(empty.token_ids) + task.query_tokens
    if prompt > cfg.longest_prompt:
        raise UserError(
            f"a prompt may need {prompt} tokens but only {cfg.longest_prompt} fit: raise "
            "model.max_length or lower task.query_tokens"
        )
