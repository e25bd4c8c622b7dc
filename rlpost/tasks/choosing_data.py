"""Config -> tasks `rank_r1` and `iranker`: prompts, reward, the answer to imitate, held-out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rankers.chat import opening
from rankers.types import Collection, Run
from rlpost.config import RunConfig
from rlpost.config_task import ChoosingTask
from rlpost.models import context_length, load_tokenizer, renderer
from rlpost.ports import Reward
from rlpost.tasks.choosing import OneRelevant, Rerankers, Reranking
from rlpost.tasks.fingerprint import fingerprint
from rlpost.tasks.rerank import Ask, Format, PromptWriter, TrainingPrompts, Writer
from rlpost.tasks.rerank_data import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.task import Imitate, Prepared
from rlpost.types import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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
    chat = renderer(tokenizer, cfg.model.chat_template_kwargs)

    def lists(split: str, depth: int) -> tuple[Collection, Run]:
        return candidate_lists(cfg.data, split, depth=depth, say=say, seed=cfg.seed)

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
        imitate=partial(_continued, partial(method.imitate, training), tokenizer),
        data=fingerprint(training, measured),
        held_out=replace(
            queries,
            shown="first stage",
            rerank=Reranking(
                writer=measured,
                prompts=queries.prompts,
                reranker=method.reranker,
                render=chat,
            ),
        ),
    )


def _continued(imitate: Imitate, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The answer to imitate, without the think tag where the template has opened it already."""
    answer = imitate(prompt)
    opened = opening(tokenizer, prompt.token_ids)
    if not opened:
        return answer
    rest = answer.removeprefix("<think>")
    return rest.lstrip() if opened[-1].isspace() else rest
