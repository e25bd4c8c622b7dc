"""Training and evaluation prompts of ranking tasks."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rankers.errors import UserError
from rankers.prompting.sanitize import neutralise
from rankers.prompting.templates import Template, Tokenizer, cut, listwise_messages
from rankers.types import Collection, Run
from rlpost.rollout.seeding import seed_at
from rlpost.tasks.epoch_order import Epochs
from rlpost.types import Message, Prompt, Role

Ask = Callable[[str, Sequence[str]], Sequence[Mapping[str, str]]]
"""(query, passages) -> chat turns."""

Render = Callable[[Sequence[Message]], tuple[int, ...]]
"""Chat turns -> token ids through the model's chat template, generation prompt included."""

QUERY_MARK, PASSAGE_MARK = "qqzquery", "qqzpassage"
"""Texts that stand for any, to count where they are shown."""

ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The payload of a prompt: which documents it shows, in the order shown, and their worth."""

    query_id: str
    doc_ids: tuple[str, ...]
    gains: tuple[int, ...]
    """Graded relevance of each candidate; 0 where unjudged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLayout:
    """How a reranking problem is written down."""

    num_candidates: int
    template: Template
    passage_tokens: int
    query_tokens: int
    longest_prompt: int
    """Tokens that the rendered prompt may have at most."""


class PromptWriter(ABC):
    """Writes prompts for queries of one collection, whose candidates come from ``run``."""

    def __init__(self, *, collection: Collection, run: Run, num_candidates: int) -> None:
        self.collection = collection
        self.run = run
        self._num_candidates = num_candidates

    def candidates(self, query_id: str) -> list[str]:
        """Ids of the candidates of ``query_id``, best of the first stage first."""
        return [doc.id for doc in self.run.get(query_id, ())[: self._num_candidates]]

    def gains(self, query_id: str, doc_ids: Sequence[str]) -> tuple[int, ...]:
        judged = self.collection.qrels[query_id]
        return tuple(max(0, judged.get(doc_id, 0)) for doc_id in doc_ids)

    def shown(self, query_id: str, *, seed: int) -> Candidates:
        """The candidates of ``query_id``, shuffled by ``seed``."""
        doc_ids = self.candidates(query_id)
        random.Random(seed).shuffle(doc_ids)
        return Candidates(
            query_id=query_id, doc_ids=tuple(doc_ids), gains=self.gains(query_id, doc_ids)
        )

    @abstractmethod
    def write(self, query_id: str, *, seed: int) -> Prompt:
        """The prompt of ``query_id`` with its candidates shuffled by ``seed``."""


class ChatPromptWriter(PromptWriter):
    """Puts the question to a chat model; the texts are cut, the question around them never is."""

    def __init__(
        self,
        *,
        collection: Collection,
        run: Run,
        shape: PromptLayout,
        tokenizer: Tokenizer,
        render: Render,
        ask: Ask | None = None,
    ) -> None:
        """``ask`` words the question; by default it is the listwise one of ``shape.template``."""
        super().__init__(collection=collection, run=run, num_candidates=shape.num_candidates)
        self._shape = shape
        self._tokenizer = tokenizer
        self._render = render
        self._ask = ask or partial(listwise_messages, template=shape.template)
        self._check_room()

    def write(self, query_id: str, *, seed: int) -> Prompt:
        shown = self.shown(query_id, seed=seed)
        for tokens in range(self._shape.passage_tokens, 0, -1):
            messages = self.question(shown, passage_tokens=tokens)
            token_ids = self._render(messages)
            # Texts may take a token more where they meet the template's words.
            if len(token_ids) <= self._shape.longest_prompt:
                break
        return Prompt(id=query_id, messages=messages, token_ids=token_ids, payload=shown)

    def question(
        self, shown: Candidates, *, passage_tokens: int | None = None
    ) -> tuple[Message, ...]:
        """The chat turns that show ``shown``."""
        tokens = passage_tokens or self._shape.passage_tokens
        passages = [self.passage(doc_id, tokens=tokens) for doc_id in shown.doc_ids]
        return self._messages(self.query(shown.query_id), passages)

    def query(self, query_id: str) -> str:
        """The text of a query as it is shown."""
        return self._cut(self.collection.queries[query_id], self._shape.query_tokens)

    def passage(self, doc_id: str, *, tokens: int | None = None) -> str:
        """The text of a document as it is shown."""
        content = self.collection.corpus[doc_id].content
        return self._cut(content, tokens or self._shape.passage_tokens)

    def _cut(self, text: str, max_tokens: int) -> str:
        # Neutralised first: it may lengthen the text.
        return cut(neutralise(text), self._tokenizer, max_tokens)

    def _messages(self, query: str, passages: Sequence[str]) -> tuple[Message, ...]:
        turns = self._ask(query, passages)
        return tuple(Message(role=ROLES[turn["role"]], content=turn["content"]) for turn in turns)

    def _check_room(self) -> None:
        shape = self._shape
        template = len(self._render(self._messages("", [""] * shape.num_candidates)))
        marked = self._messages(QUERY_MARK, [PASSAGE_MARK] * shape.num_candidates)
        words = "".join(turn.content for turn in marked)  # a text may be shown more than once
        texts = (
            words.count(PASSAGE_MARK) * shape.passage_tokens
            + words.count(QUERY_MARK) * shape.query_tokens
        )
        if template + texts > shape.longest_prompt:
            raise UserError(
                f"a prompt may need {template + texts} tokens ({template} for its fixed words, "
                f"{texts} for query and passages) but only "
                f"{shape.longest_prompt} fit: raise model.max_length or lower "
                "task.passage_tokens or task.candidates"
            )


class RerankPrompts:
    """The endless prompt stream of a run: every epoch visits each query once, in its own order.

    Queries without a relevant candidate are left out: every answer to them earns the same nDCG.
    Where the collection's judgements play no part (not ``judged``), only those without candidates.
    """

    def __init__(self, writer: PromptWriter, *, seed: int, judged: bool = True) -> None:
        self._writer = writer
        self._seed = seed
        found = {query_id: writer.candidates(query_id) for query_id in writer.collection.queries}
        query_ids = [
            query_id
            for query_id, doc_ids in found.items()
            if (any(writer.gains(query_id, doc_ids)) if judged else len(doc_ids) > 1)
        ]
        if not query_ids:
            raise UserError(
                f"no training query of {writer.collection.name!r} has a relevant document among "
                "its candidates: raise task.candidates or check the qrels"
            )
        self._epochs = Epochs(query_ids, seed=seed)

    def __len__(self) -> int:
        return len(self._epochs)

    def epoch(self, index: int) -> int:
        return self._epochs.epoch(index)

    def prompt(self, index: int) -> Prompt:
        epoch, query_id = self._epochs.at(index)
        return self._writer.write(query_id, seed=seed_at(self._seed, "shuffle", epoch, query_id))


def held_out_queries(collection: Collection, *, limit: int, seed: int) -> list[str]:
    """At most ``limit`` of the judged queries, chosen by ``seed``."""
    query_ids = list(collection.queries)
    if len(query_ids) <= limit:
        return query_ids
    return sorted(random.Random(seed_at(seed, "held-out")).sample(query_ids, limit))


def evaluation_prompts(
    writer: PromptWriter, query_ids: Sequence[str], *, seed: int
) -> list[Prompt]:
    """One prompt for each query that has candidates; the others have no answer and score 0."""
    return [
        writer.write(query_id, seed=seed_at(seed, "held-out", query_id))
        for query_id in query_ids
        if writer.candidates(query_id)
    ]


def candidates_of(prompt: Prompt) -> Candidates:
    """The payload of a prompt that this task wrote."""
    assert isinstance(prompt.payload, Candidates), f"prompt {prompt.id!r} is not of task rerank"
    return prompt.payload
