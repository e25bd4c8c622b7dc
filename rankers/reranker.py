"""One interface for every method: queries and passages in, scored permutations and traces out."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal

from rankers.errors import BackendError, ScoreError
from rankers.judges import Judge, Question, Reply
from rankers.plans import A, Ask, Plan, run_together
from rankers.types import Passage, Query, Ranking, Trace

Problem = tuple[Query, Sequence[Passage]]
"""A query and its candidates in the order of the first stage, best first."""

ScoreKind = Literal["rank", "wins", "log_odds", "probability", "log_likelihood", "cosine", "logit"]
"""What the scores of a ranking mean; none but ``rank`` and ``wins`` depend on the other candidates.

- ``rank``: nothing beyond the order, n for the best down to 1.
- ``wins``: duels won against the other candidates, a tie counting 1/2.
- ``log_odds``: ln of P(yes) / P(no), on the real line.
- ``probability``: P(true) / (P(true) + P(false)), from 0 to 1.
- ``log_likelihood``: mean log-probability of the query's tokens given the passage, at most 0.
- ``cosine``: of query and passage embedding, from -1 to 1.
- ``logit``: of a cross-encoder, on the real line.
"""


class Reranker(ABC):
    """A way to rank with a model. Holds no state of a query: one serves any number of them."""

    name: str
    score_kind: ScoreKind

    def rank(
        self,
        query: Query,
        passages: Sequence[Passage],
        *,
        strict: bool = False,
        keep_texts: bool = False,
    ) -> Ranking:
        """Order the passages of one query; see ``rank_many``."""
        [ranking] = self.rank_many([(query, passages)], strict=strict, keep_texts=keep_texts)
        return ranking

    @abstractmethod
    def rank_many(
        self, problems: Sequence[Problem], *, strict: bool = False, keep_texts: bool = False
    ) -> list[Ranking]:
        """Order the passages of many queries, whose questions share batches of the engine.

        Each ranking is the one that ``rank`` gives, if the engine answers questions independently.
        Ids may repeat and texts may be empty: order is by index. Bad answers never raise, they
        keep the order that stood and are counted in the trace. So are questions on which the
        engine failed (``Trace.degraded``), unless ``strict`` or it answered none at all: then
        BackendError. ``keep_texts`` keeps what the model wrote in the trace.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReranker(Reranker, Generic[A]):
    """Plan + judge: which candidates to ask about, and who answers."""

    name: str
    plan: Callable[[int, str], Plan[A]]
    """(number of candidates, id of the query for seeded choices) -> a fresh plan."""
    judge: Judge[A]
    score_kind: ScoreKind = "rank"

    def __post_init__(self) -> None:
        # A plan over nothing asks nothing, but refuses bad options: here, not in mid-ranking.
        run_together([self.plan(0, "")], lambda batch: [None] * len(batch))

    def rank_many(
        self, problems: Sequence[Problem], *, strict: bool = False, keep_texts: bool = False
    ) -> list[Ranking]:
        """See ``Reranker.rank_many``."""
        plans = [self.plan(len(passages), query.id) for query, passages in problems]
        tallies = [_Tally(keep_texts=keep_texts) for _ in problems]
        errors: list[BackendError] = []

        def answer(batch: Sequence[tuple[int, Ask]]) -> list[A | None]:
            replies = self._replies([_question(*problems[i], ask) for i, ask in batch])
            for (i, _), reply in zip(batch, replies, strict=True):
                tallies[i].add(reply)
                if isinstance(reply, BackendError):
                    errors.append(reply)
            if errors and strict:
                raise errors[0]
            return [
                None if isinstance(reply, BackendError) else reply.reading.answer
                for reply in replies
            ]

        outcomes = run_together(plans, answer)
        if errors and len(errors) == sum(tally.calls for tally in tallies):
            raise errors[0]
        return [
            Ranking(order=outcome.order, scores=outcome.scores, trace=tally.trace())
            for outcome, tally in zip(outcomes, tallies, strict=True)
        ]

    def _replies(self, questions: Sequence[Question]) -> Sequence[Reply[A] | BackendError]:
        try:
            return self.judge(questions)
        except ScoreError:
            raise
        except BackendError as error:
            return [error] * len(questions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade(Reranker):
    """See ``cascade``."""

    name: str
    score_kind: ScoreKind
    stages: tuple[Reranker, ...]

    def rank_many(
        self, problems: Sequence[Problem], *, strict: bool = False, keep_texts: bool = False
    ) -> list[Ranking]:
        """See ``Reranker.rank_many``."""
        orders = [tuple(range(len(passages))) for _, passages in problems]
        traces = [Trace() for _ in problems]
        rankings: list[Ranking] = []
        for stage in self.stages:
            given = [
                (query, [passages[i] for i in order])
                for (query, passages), order in zip(problems, orders, strict=True)
            ]
            rankings = stage.rank_many(given, strict=strict, keep_texts=keep_texts)
            orders = [
                tuple(order[i] for i in ranking.order)
                for order, ranking in zip(orders, rankings, strict=True)
            ]
            traces = [
                trace + ranking.trace for trace, ranking in zip(traces, rankings, strict=True)
            ]
        return [
            Ranking(order=order, scores=ranking.scores, trace=trace)
            for order, ranking, trace in zip(orders, rankings, traces, strict=True)
        ]


def cascade(first: Reranker, *others: Reranker) -> Cascade:
    """Rerankers one after the other, each given the order of the one before.

    Scores are those of the last; the trace is that of all together.
    """
    stages = (first, *others)
    name = "+".join(stage.name for stage in stages)
    return Cascade(name=name, score_kind=stages[-1].score_kind, stages=stages)


@dataclass(kw_only=True)
class _Tally:
    keep_texts: bool
    calls: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    truncated: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0

    def add(self, reply: Reply[object] | BackendError) -> None:
        self.calls += 1
        self.seconds = time.perf_counter() - self.started
        if isinstance(reply, BackendError):
            self.failures += 1
            return
        self.prompt_tokens += reply.prompt_tokens
        self.generated_tokens += reply.generated_tokens
        self.truncated += reply.truncated
        self.malformed[reply.reading.malformed] += 1
        self.rules[reply.reading.rule] += 1
        if self.keep_texts:
            self.texts.append(reply.text)

    def trace(self) -> Trace:
        return Trace(
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            malformed=dict(self.malformed),
            rules=dict(self.rules),
            failures=self.failures,
            truncated=self.truncated,
            texts=tuple(self.texts),
            seconds=self.seconds,
        )


def _question(query: Query, passages: Sequence[Passage], ask: Ask) -> Question:
    return Question(query=query.text, passages=tuple(passages[i].text for i in ask))
