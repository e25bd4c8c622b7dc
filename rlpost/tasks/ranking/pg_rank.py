"""Task `pg_rank`: a bi-encoder orders candidates; the reward is nDCG (arXiv 2310.04407).

The policy is Plackett-Luce on the model's scores, a completion is a ranking drawn from it; what
stands around the sampling is that of task `rerank`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rankers.backends.sentence_load import own_prompts
from rankers.model_path import resolve
from rankers.prompting.templates import listwise_messages
from rankers.types import Collection, Run
from rlpost.config.run import RunConfig
from rlpost.config.task import PgRankTask
from rlpost.models.encoder_rows import Row, join_rows
from rlpost.models.loading import context_length, load_bare_tokenizer
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.fingerprint import fingerprint
from rlpost.tasks.ranking.collection import (
    candidate_lists,
    held_out,
    refuse_overlap,
    require_first_stage,
)
from rlpost.tasks.ranking.prompts import PromptWriter, RerankPrompts
from rlpost.tasks.ranking.rewards import RerankReward, teacher_answer
from rlpost.types import Message, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class RowWriter(PromptWriter):
    """Shows a problem as token rows, one for the query and one for each candidate."""

    def __init__(
        self,
        *,
        collection: Collection,
        run: Run,
        tokenizer: PreTrainedTokenizerBase,
        task: PgRankTask,
        prompts: tuple[str, str] = ("", ""),
    ) -> None:
        """``prompts`` stand before a query and before a passage."""
        super().__init__(collection=collection, run=run, num_candidates=task.candidates)
        self._tokenizer = tokenizer
        self._task = task
        self._prompts = prompts
        self._passages: dict[str, Row] = {}

    def write(self, query_id: str, *, seed: int) -> Prompt:
        shown = self.shown(query_id, seed=seed)
        query = self._row(
            self._prompts[0], self.collection.queries[query_id], self._task.query_tokens
        )
        passages = [self._passage(doc_id) for doc_id in shown.doc_ids]
        texts = self._tokenizer.batch_decode(
            [list(row) for row in (query, *passages)], skip_special_tokens=True
        )
        (turn,) = listwise_messages(texts[0], texts[1:])
        return Prompt(
            id=query_id,
            messages=(Message(role="user", content=turn["content"]),),
            token_ids=join_rows([query, *passages]),
            payload=shown,
        )

    def _passage(self, doc_id: str) -> Row:
        # A passage is a candidate of many queries.
        if doc_id not in self._passages:
            text = self.collection.corpus[doc_id].content
            self._passages[doc_id] = self._row(self._prompts[1], text, self._task.passage_tokens)
        return self._passages[doc_id]

    def _row(self, prompt: str, text: str, max_tokens: int) -> Row:
        encoded = self._tokenizer(
            prompt + text,
            truncation=True,
            max_length=max_tokens + prompt_tokens(self._tokenizer, prompt),
            split_special_tokens=True,
        )
        return tuple(encoded["input_ids"])


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str) -> int:
    """Length of a prompt, for which its text makes no room."""
    return len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) if prompt else 0


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``."""
    task = cfg.task
    assert isinstance(task, PgRankTask)
    require_first_stage(cfg.data)
    tokenizer = load_bare_tokenizer(cfg.model.path)
    own = own_prompts(resolve(cfg.model.path))
    given = (task.query_prompt, task.passage_prompt)
    query, passage = (o if g is None else g for o, g in zip(own, given, strict=True))
    context_length(
        cfg.model.path,
        max(
            task.query_tokens + prompt_tokens(tokenizer, query),
            task.passage_tokens + prompt_tokens(tokenizer, passage),
        ),
    )

    def writer_of(split: str) -> RowWriter:
        collection, run = candidate_lists(
            cfg.data, split, depth=task.candidates, say=say, seed=cfg.seed
        )
        return RowWriter(
            collection=collection,
            run=run,
            tokenizer=tokenizer,
            task=task,
            prompts=(query, passage),
        )

    training, measured = writer_of(cfg.data.train_split), writer_of(cfg.data.eval_split)
    refuse_overlap(training.collection, measured.collection)
    return PreparedTask(
        source=RerankPrompts(training, seed=cfg.seed),
        reward=partial(RerankReward, depth=task.measure_depth, format_weight=0.0),
        imitate=partial(teacher_answer, training),
        held_out=held_out(measured, cfg),
        data=fingerprint(training, measured),
    )
