"""Plan + judge = Reranker: queries and passages in, permutations with a trace out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from rankers.judges import Judge, Question, Reply
from rankers.plans import A, Ask, Plan, run_together
from rankers.types import Passage, Query, Ranking, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker(Generic[A]):
    """A way to rank with a model. Holds no state: one serves any number of queries."""

    name: str
    plan: Callable[[int, str], Plan[A]]
    """(number of candidates, id of the query for seeded choices) -> a fresh plan."""
    judge: Judge[A]

    def rank(self, query: Query, passages: Sequence[Passage]) -> Ranking:
        """Order the passages of one query; their order is that of the first stage, best first.

        Raises BackendError where the engine fails. Bad answers never raise: they keep the order
        that stood and are counted in the trace. Scores fall from n to 1, by rank alone.
        """
        [ranking] = self.rank_many([(query, passages)])
        return ranking

    def rank_many(self, problems: Sequence[tuple[Query, Sequence[Passage]]]) -> list[Ranking]:
        """Order the passages of many queries in lock-step: their open questions share batches.

        Each ranking is the one that ``rank`` gives, if the judge answers questions independently.
        """
        plans = [self.plan(len(passages), query.id) for query, passages in problems]
        tallies: list[_Tally[A]] = [_Tally() for _ in problems]

        def answer(batch: Sequence[tuple[int, Ask]]) -> list[A]:
            replies = self.judge([_question(*problems[i], ask) for i, ask in batch])
            for (i, _), reply in zip(batch, replies, strict=True):
                tallies[i].add(reply)
            return [reply.reading.answer for reply in replies]

        orders = run_together(plans, answer)
        return [
            Ranking(order=order, scores=_by_rank(len(order)), trace=tally.trace())
            for order, tally in zip(orders, tallies, strict=True)
        ]


@dataclass(kw_only=True)
class _Tally(Generic[A]):
    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)

    def add(self, reply: Reply[A]) -> None:
        self.calls += 1
        self.prompt_tokens += reply.prompt_tokens
        self.generated_tokens += reply.generated_tokens
        self.malformed[reply.reading.malformed] += 1
        self.rules[reply.reading.rule] += 1

    def trace(self) -> Trace:
        return Trace(
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            malformed=dict(self.malformed),
            rules=dict(self.rules),
        )


def _question(query: Query, passages: Sequence[Passage], ask: Ask) -> Question:
    return Question(query=query.text, passages=tuple(passages[i].text for i in ask))


def _by_rank(n: int) -> tuple[float, ...]:
    return tuple(float(n - rank) for rank in range(n))
