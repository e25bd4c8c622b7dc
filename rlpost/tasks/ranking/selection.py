"""Tasks whose answer is one of the passages shown: what their prompts hold, how they are measured.

Training shows one relevant passage among irrelevant ones. Measuring is the method's own reranking
of held-out queries, with the policy as its model: several questions per query, not one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rankers.errors import BackendError
from rankers.prompting.chat import opening
from rankers.reranker.protocols import Backend
from rankers.reranker.protocols import TextCompletion as Answered
from rankers.reranker.reranker import Reranker
from rankers.types import Collection, Passage, Query, Run
from rlpost.config.run import RunConfig
from rlpost.config.task import ChoosingTask
from rlpost.models.loading import context_length, load_tokenizer, renderer
from rlpost.protocols import Reward
from rlpost.tasks.base import Answer, Imitate, PreparedTask
from rlpost.tasks.fingerprint import fingerprint
from rlpost.tasks.ranking.collection import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.ranking.prompts import (
    ROLES,
    Ask,
    Candidates,
    ChatPromptWriter,
    PromptLayout,
    PromptWriter,
    Render,
    RerankPrompts,
    candidates_of,
)
from rlpost.types import Message, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Rerankers = Callable[[Backend], Reranker]


class SinglePositivePrompts(ChatPromptWriter):
    """Shows one relevant candidate, the first stage's best, among irrelevant ones.

    A query with no relevant candidate, or nothing to tell it from, has none: nothing to train on.
    """

    def __init__(self, *, sublists: bool, **arguments: Any) -> None:
        """``sublists``: a prompt shows between two and all of the candidates."""
        super().__init__(**arguments)
        self._sublists = sublists

    def candidates(self, query_id: str) -> list[str]:
        found = [doc.id for doc in self.run.get(query_id, ())]
        gains = self.gains(query_id, found)
        relevant = [doc_id for doc_id, gain in zip(found, gains, strict=True) if gain][:1]
        others = [doc_id for doc_id, gain in zip(found, gains, strict=True) if not gain]
        kept = {*relevant, *others[: self._num_candidates - 1]} if relevant and others else ()
        return [doc_id for doc_id in found if doc_id in kept]

    def shown(self, query_id: str, *, seed: int) -> Candidates:
        shown = super().shown(query_id, seed=seed)
        if not self._sublists:
            return shown
        size = random.Random(f"{seed}/size").randint(2, len(shown.doc_ids))
        truth = shown.gains.index(max(shown.gains))
        others = [i for i in range(len(shown.doc_ids)) if i != truth]
        kept = sorted([truth, *others[: size - 1]])
        return Candidates(
            query_id=query_id,
            doc_ids=tuple(shown.doc_ids[i] for i in kept),
            gains=tuple(shown.gains[i] for i in kept),
        )


def relevant_position(prompt: Prompt) -> int:
    """Place of the one relevant candidate, from 0."""
    return next(i for i, gain in enumerate(candidates_of(prompt).gains) if gain)


def first_stage_places(writer: PromptWriter, prompt: Prompt) -> list[int]:
    """Places of the candidates that a prompt shows, in the order of the first stage."""
    ranks = {doc_id: rank for rank, doc_id in enumerate(writer.candidates(prompt.id))}
    shown = candidates_of(prompt).doc_ids
    return sorted(range(len(shown)), key=lambda i: ranks[shown[i]])


def reasoned(order: Sequence[str], answer: str) -> str:
    """An answer to imitate: the order of the first stage as the reasoning, and what follows."""
    return f"<think> {' > '.join(order)} </think>\n<answer> {answer} </answer>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBackend:
    """The policy in training as a ``rankers`` backend."""

    answer: Answer
    render: Render

    def complete(
        self, chats: Sequence[Sequence[Mapping[str, str]]], *, max_tokens: int
    ) -> list[Answered | BackendError]:
        """See ``Backend.complete``; how long an answer may be is the run's to say."""
        prompts = []
        for i, chat in enumerate(chats):
            turns = tuple(Message(role=ROLES[t["role"]], content=t["content"]) for t in chat)
            prompts.append(Prompt(id=str(i), messages=turns, token_ids=self.render(turns)))
        return [
            Answered(
                text=completion.text,
                prompt_tokens=len(prompt.token_ids),
                generated_tokens=len(completion.token_ids),
            )
            for prompt, completion in zip(prompts, self.answer(prompts), strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking:
    """Ranks held-out queries as the method does, with the policy's answers."""

    writer: ChatPromptWriter
    prompts: Sequence[Prompt]
    reranker: Rerankers
    render: Render

    def __call__(self, answer: Answer) -> Run:
        """See ``HeldOut.rerank``."""
        reranker = self.reranker(PolicyBackend(answer=answer, render=self.render))
        problems = [self._problem(prompt) for prompt in self.prompts]
        rankings = reranker.rank_many(problems)
        return {
            query.id: ranking.run_line([passage.id for passage in passages])
            for (query, passages), ranking in zip(problems, rankings, strict=True)
        }

    def _problem(self, prompt: Prompt) -> tuple[Query, list[Passage]]:
        writer = self.writer
        passages = [Passage(id=d, text=writer.passage(d)) for d in writer.candidates(prompt.id)]
        return Query(id=prompt.id, text=writer.query(prompt.id)), passages


SPARE = 2
"""Training lists are fetched this many times as deep: a list shows one relevant passage only, and
others take the places of the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionMethod:
    """What tells one such task from another."""

    ask: Ask
    reward: Callable[[], Reward]
    imitate: Callable[[PromptWriter, Prompt], str]
    reranker: Rerankers
    sublists: bool


def prepare(cfg: RunConfig, say: Callable[[str], None], method: SelectionMethod) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``."""
    task = cfg.task
    assert isinstance(task, ChoosingTask)
    require_first_stage(cfg.data)
    tokenizer = load_tokenizer(cfg.model.path)
    context_length(cfg.model.path, cfg.model.max_length)
    shape = PromptLayout(
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
    training = SinglePositivePrompts(
        sublists=method.sublists,
        collection=collection,
        run=run,
        shape=shape,
        tokenizer=tokenizer,
        render=chat,
        ask=method.ask,
    )
    collection, run = lists(cfg.data.eval_split, task.candidates)
    measured = ChatPromptWriter(
        collection=collection,
        run=run,
        shape=shape,
        tokenizer=tokenizer,
        render=chat,
        ask=method.ask,
    )
    refuse_overlap(training.collection, measured.collection)
    queries = held_out(measured, cfg)
    return PreparedTask(
        source=RerankPrompts(training, seed=cfg.seed),
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
