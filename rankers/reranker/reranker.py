"""One interface for every method: queries and passages in, scored permutations and traces out."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple

from rankers.errors import BackendError
from rankers.reranker.batcher import Batcher, PromptBatch, RankingTask
from rankers.reranker.judges import RankingPrompt, Reply, Scorer
from rankers.reranker.plans import A, PlanResult, RankingPlan, ShownIds
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
        running = Batcher[int, TaskResult]()
        for i, problem in enumerate(problems):
            running.join(i, self.work(*problem, strict=strict, keep_texts=keep_texts))
        worked: dict[int, TaskResult] = {}
        while running:
            for i, ended in running.turn().items():
                if isinstance(ended, Exception):
                    raise ended
                worked[i] = ended
        failed = next((found.failure for found in worked.values() if found.failure), None)
        if failed and all(found.unanswered for found in worked.values()):
            raise failed
        return [worked[i].ranking for i in range(len(problems))]

    @abstractmethod
    def work(
        self, query: Query, passages: Sequence[Passage], *, strict: bool, keep_texts: bool
    ) -> RankingTask["TaskResult"]:
        """The ranking of one query as questions to a judge, for a ``Batcher`` that asks them.

        With ``strict``, raises the first BackendError that it gets.
        """


class TaskResult(NamedTuple):
    """A ranking and the first failure of the engine on the way to it."""

    ranking: Ranking
    failure: BackendError | None

    @property
    def unanswered(self) -> bool:
        """Whether the engine answered no question, if any was asked."""
        return self.ranking.trace.failures == self.ranking.trace.calls


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReranker(Reranker, Generic[A]):
    """Plan + judge: which candidates to ask about, and who answers."""

    name: str
    plan: Callable[[int, str], RankingPlan[A]]
    """(number of candidates, id of the query for seeded choices) -> a fresh plan."""
    judge: Scorer[A]
    score_kind: ScoreKind = "rank"

    def __post_init__(self) -> None:
        # A plan over nothing asks nothing, but refuses bad options: here, not in mid-ranking.
        next(self.plan(0, ""), None)

    def work(
        self, query: Query, passages: Sequence[Passage], *, strict: bool, keep_texts: bool
    ) -> RankingTask[TaskResult]:
        """See ``Reranker.work``."""
        plan = self.plan(len(passages), query.id)
        tally = _Tally(keep_texts=keep_texts)
        failure: BackendError | None = None
        answers: list[A | None] | None = None
        while True:
            try:
                asks = next(plan) if answers is None else plan.send(answers)
            except StopIteration as stop:
                outcome: PlanResult = stop.value
                ranking = Ranking(order=outcome.order, scores=outcome.scores, trace=tally.trace())
                return TaskResult(ranking, failure)
            questions = [_question(query, passages, ask) for ask in asks]
            answers = []
            for reply in (yield PromptBatch(self.judge, questions)):
                tally.add(reply)
                if isinstance(reply, BackendError):
                    if strict:
                        raise reply
                    failure = failure or reply
                answers.append(None if isinstance(reply, BackendError) else reply.reading.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade(Reranker):
    """See ``cascade``."""

    name: str
    score_kind: ScoreKind
    stages: tuple[Reranker, ...]

    def work(
        self, query: Query, passages: Sequence[Passage], *, strict: bool, keep_texts: bool
    ) -> RankingTask[TaskResult]:
        """See ``Reranker.work``."""
        order = tuple(range(len(passages)))
        scores: tuple[float, ...] = ()
        trace = Trace()
        failure: BackendError | None = None
        for stage in self.stages:
            given = [passages[i] for i in order]
            ranking, failed = yield from stage.work(
                query, given, strict=strict, keep_texts=keep_texts
            )
            order = tuple(order[i] for i in ranking.order)
            scores = ranking.scores
            trace += ranking.trace
            failure = failure or failed
        return TaskResult(Ranking(order=order, scores=scores, trace=trace), failure)


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


def _question(query: Query, passages: Sequence[Passage], ask: ShownIds) -> RankingPrompt:
    return RankingPrompt(query=query.text, passages=tuple(passages[i].text for i in ask))
