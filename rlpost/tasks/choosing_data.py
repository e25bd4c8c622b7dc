"""Config -> tasks `rank_r1` and `iranker`: prompts, reward, the answer to imitate, held-out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from rankers.types import Collection, Run
from rlpost.config import RunConfig
from rlpost.config_task import ChoosingTask
from rlpost.models import context_length, load_tokenizer, render
from rlpost.ports import Reward
from rlpost.tasks.choosing import OneRelevant, Rerankers, Reranking
from rlpost.tasks.rerank import Ask, Format, PromptWriter, TrainingPrompts, Writer
from rlpost.tasks.rerank_data import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.task import Prepared
from rlpost.types import Prompt

SPARE = 2
"""Training lists are fetched this many times as deep: a list shows one relevant passage only, and
others take the places of the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What tells one such task from another."""

    ask: Ask
    reward: Callable[[], Reward]
    imitate: Callable[[PromptWriter, Prompt], str]
    reranker: Rerankers
    sublists: bool


def prepare(cfg: RunConfig, say: Callable[[str], None], method: Method) -> Prepared:
    """See ``rlpost.prepare.prepare``."""
    task = cfg.task
    assert isinstance(task, ChoosingTask)
    require_first_stage(cfg.data)
    tokenizer = load_tokenizer(cfg.model.path)
    context_length(cfg.model.path, cfg.model.max_length)
    shape = Format(
        num_candidates=task.candidates,
        template="compact",
        passage_tokens=task.passage_tokens,
        query_tokens=task.query_tokens,
        longest_prompt=cfg.longest_prompt,
    )
    chat = partial(render, tokenizer)

    def lists(split: str, depth: int) -> tuple[Collection, Run]:
        return candidate_lists(cfg.data, split, depth=depth, say=say)

    collection, run = lists(cfg.data.train_split, SPARE * task.candidates)
    training = OneRelevant(
        sublists=method.sublists,
        collection=collection,
        run=run,
        shape=shape,
        tokenizer=tokenizer,
        render=chat,
        ask=method.ask,
    )
    collection, run = lists(cfg.data.eval_split, task.candidates)
    measured = Writer(
        collection=collection,
        run=run,
        shape=shape,
        tokenizer=tokenizer,
        render=chat,
        ask=method.ask,
    )
    refuse_overlap(training.collection, measured.collection)
    queries = held_out(measured, cfg)
    return Prepared(
        source=TrainingPrompts(training, seed=cfg.seed),
        reward=method.reward,
        imitate=partial(method.imitate, training),
        held_out=replace(
            queries,
            rerank=Reranking(
                writer=measured,
                prompts=queries.prompts,
                reranker=method.reranker,
                render=chat,
            ),
        ),
    )
