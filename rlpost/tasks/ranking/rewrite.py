"""Task `rewrite`: the policy rewrites a query, and a reranker judges what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rankers.errors import UserError
from rankers.evaluation.measures import ndcg
from rankers.prompting.sanitize import neutralise
from rankers.prompting.templates import cut
from rankers.reranker.reranker import Reranker
from rankers.types import Collection, Passage, Query, Run
from rlpost.config.run import RunConfig
from rlpost.config.task import RewriteTask
from rlpost.models.loading import context_length, load_tokenizer, renderer
from rlpost.tasks.base import Answer, PreparedTask
from rlpost.tasks.fingerprint import fingerprint
from rlpost.tasks.ranking.collection import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.ranking.prompts import PromptWriter, Render, RerankPrompts, candidates_of
from rlpost.tasks.ranking.rewards import problem, reranker_of, texts_of
from rlpost.types import Completion, Message, Prompt, Score

Cut = Callable[[str], str]
"""Shortens a text to the tokens that it may have."""

ASK = "Rewrite this search query so that it finds what it asks for. Answer with the query alone."


class RewriteWriter(PromptWriter):
    """Shows a query without its candidates, which only the reranker sees."""

    def __init__(
        self, *, collection: Collection, run: Run, num_candidates: int, cut: Cut, render: Render
    ) -> None:
        super().__init__(collection=collection, run=run, num_candidates=num_candidates)
        self._cut = cut
        self._render = render

    def write(self, query_id: str, *, seed: int) -> Prompt:
        messages = (Message(role="user", content=f"{ASK}\n\nQuery: {self.query(query_id)}"),)
        return Prompt(
            id=query_id,
            messages=messages,
            token_ids=self._render(messages),
            payload=self.shown(query_id, seed=seed),
        )

    def query(self, query_id: str) -> str:
        """The text of a query as it is shown."""
        return self._cut(neutralise(self.collection.queries[query_id]))


class RewriteReward:
    """nDCG of the candidates in the order that the reranker gives them for the rewritten query.

    An empty answer earns 0. A reranker that fails is an error, never a score.
    """

    def __init__(
        self, texts: Mapping[str, str], reranker: Callable[[], Reranker], *, depth: int
    ) -> None:
        """``texts``: of all candidates, by document id."""
        self._texts = texts
        self._reranker = reranker()
        self._depth = depth

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.group(prompt, [completion])[0]

    def group(self, prompt: Prompt, completions_G: Sequence[Completion]) -> list[Score]:
        """The scores of siblings, whose different rewritings share one call of the reranker."""
        shown = candidates_of(prompt)
        written = [rewritten(completion.text) for completion in completions_G]
        asked = list(dict.fromkeys(text for text in written if text))
        problems = [problem(Query(id=prompt.id, text=text), shown, self._texts) for text in asked]
        rankings = self._reranker.rank_many(problems, strict=True)
        worth = {
            text: ndcg(ranking.order, shown.gains, k=self._depth)
            for text, ranking in zip(asked, rankings, strict=True)
        }
        return [
            Score(
                total=worth.get(text, 0.0),
                parts={"ndcg": worth.get(text, 0.0), "format": float(bool(text))},
            )
            for text in written
        ]


class RewrittenRun:
    """Ranks held-out queries by what the policy makes of them; an empty answer changes nothing."""

    def __init__(
        self, writer: RewriteWriter, prompts: Sequence[Prompt], reranker: Reranker
    ) -> None:
        self._writer = writer
        self._prompts = prompts
        self._reranker = reranker
        self._texts = texts_of(writer, [prompt.id for prompt in prompts])

    def __call__(self, answer: Answer) -> Run:
        """See ``HeldOut.rerank``."""
        written = [rewritten(completion.text) for completion in answer(self._prompts)]
        return self.of(dict(zip((prompt.id for prompt in self._prompts), written, strict=True)))

    def of(self, queries: Mapping[str, str]) -> Run:
        """The run of the held-out queries with these texts, their own where there is none."""
        problems = []
        for prompt in self._prompts:
            text = queries.get(prompt.id) or self._writer.collection.queries[prompt.id]
            ids = self._writer.candidates(prompt.id)
            passages = [Passage(id=doc_id, text=self._texts[doc_id]) for doc_id in ids]
            problems.append((Query(id=prompt.id, text=text), passages))
        rankings = self._reranker.rank_many(problems, strict=True)
        return {
            query.id: ranking.run_line([passage.id for passage in passages])
            for (query, passages), ranking in zip(problems, rankings, strict=True)
        }


def rewritten(text: str) -> str:
    """The first line that says something, after the reasoning; '' where that never closes."""
    answer = text.rpartition("</think>")[2]
    lines = [] if "<think>" in answer else answer.splitlines()
    return next((line.strip() for line in lines if line.strip()), "")


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``. Asks the reranker for the held-out queries as they
    are.
    """
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
    return PreparedTask(
        source=RerankPrompts(training, seed=cfg.seed),
        reward=partial(
            RewriteReward,
            texts_of(training, training.collection.queries),
            reranker,
            depth=task.measure_depth,
        ),
        imitate=partial(unchanged_query, training),
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


def unchanged_query(writer: RewriteWriter, prompt: Prompt) -> str:
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
