"""What a student learns from: the teacher's best candidates of a query, and their ranks."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankers.errors import UserError
from rankers.prompting.sanitize import neutralise
from rankers.prompting.templates import Tokenizer, cut
from rankers.types import Collection, Run
from rlpost.rollout.seeding import seed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTexts:
    """Queries and passages of a collection as a model sees them: neutralised and cut."""

    collection: Collection
    tokenizer: Tokenizer
    passage_tokens: int
    query_tokens: int

    def query(self, query_id: str) -> str:
        text = neutralise(self.collection.queries[query_id])
        return cut(text, self.tokenizer, self.query_tokens)

    def passage(self, doc_id: str) -> str:
        text = neutralise(self.collection.corpus[doc_id].content)
        return cut(text, self.tokenizer, self.passage_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherList:
    """One problem of K passages with its solution."""

    query: str
    passages: tuple[str, ...]
    ranks: tuple[int, ...]
    """The teacher's rank of each passage, from 1."""

    @property
    def order(self) -> tuple[int, ...]:
        """Places of the passages, the teacher's best first."""
        return tuple(sorted(range(len(self.ranks)), key=lambda i: self.ranks[i]))


def strangers(run: Run, collection: Collection, name: str) -> list[str]:
    """What of a teacher's run the collection lacks, in sentences; such parts teach nothing."""
    found = []
    queries = [query_id for query_id in run if query_id not in collection.queries]
    if queries:
        found.append(
            f"{len(queries)} of {len(run)} queries of {name}, such as {queries[0]!r}, are no "
            "training queries: they are left out"
        )
    docs = {doc.id for query_id in collection.queries for doc in run.get(query_id, ())}
    unknown = docs - collection.corpus.keys()
    if unknown:
        found.append(
            f"{len(unknown)} of {len(docs)} documents of {name}, such as {min(unknown)!r}, are not "
            "in the collection: they are left out"
        )
    return found


class TeacherLists:
    """An endless stream of lists of equal length; every epoch visits each query once."""

    def __init__(
        self, *, texts: ListTexts, run: Run, length: int, seed: int, shown: Run | None = None
    ) -> None:
        """``run`` is the teacher's; lists are shown in the order of ``shown``, or shuffled.

        Raises UserError when no training query has ``length``.
        """
        self._texts = texts
        self._shown = shown
        self._seed = seed
        self._best: Mapping[str, Sequence[str]] = {
            query_id: known[:length]
            for query_id in texts.collection.queries
            if len(known := self._known(run, query_id)) >= length
        }
        if not self._best:
            raise UserError(
                f"the teacher ranks {length} known documents for none of the "
                f"{len(texts.collection.queries)} training queries of "
                f"{texts.collection.name!r}: lower candidates, or give a run over that split"
            )

    def __len__(self) -> int:
        """Queries of an epoch."""
        return len(self._best)

    def batch(self, step: int, size: int) -> list[TeacherList]:
        """The ``size`` lists of a step (0 for the first)."""
        return [self._list(index) for index in range(step * size, (step + 1) * size)]

    def _known(self, run: Run, query_id: str) -> list[str]:
        corpus = self._texts.collection.corpus
        return [doc.id for doc in run.get(query_id, ()) if doc.id in corpus]

    def _list(self, index: int) -> TeacherList:
        epoch, position = divmod(index, len(self._best))
        query_ids = list(self._best)
        random.Random(seed_at(self._seed, "epoch", epoch)).shuffle(query_ids)
        query_id = query_ids[position]
        best = self._best[query_id]
        places = list(range(len(best)))
        random.Random(seed_at(self._seed, "shuffle", epoch, query_id)).shuffle(places)
        if self._shown is not None:
            ranks = {doc.id: rank for rank, doc in enumerate(self._shown.get(query_id, ()))}
            places.sort(key=lambda place: ranks.get(best[place], len(ranks)))
        return TeacherList(
            query=self._texts.query(query_id),
            passages=tuple(self._texts.passage(best[place]) for place in places),
            ranks=tuple(place + 1 for place in places),
        )
