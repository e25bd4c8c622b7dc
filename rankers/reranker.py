"""Method + model = Reranker: queries and passages in, permutations with a trace out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from rankers.methods import Method
from rankers.plans import A, Ask, run_together
from rankers.ports import Backend
from rankers.types import Passage, Query, Ranking, Trace


@dataclass(kw_only=True)
class _Tally:
    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)

    def trace(self) -> Trace:
        return Trace(
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            malformed=dict(self.malformed),
            rules=dict(self.rules),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker(Generic[A]):
    """Orders passages by asking ``backend`` the questions of ``method``."""

    method: Method[A]
    backend: Backend

    def rank(self, query: Query, passages: Sequence[Passage]) -> Ranking:
        """Order the passages of one query; their order is that of the first stage, best first.

        Raises BackendError where the engine fails. Bad answers never raise: they keep the order
        that stood and are counted in the trace. Scores fall from n to 1, by rank alone.
        """
        [ranking] = self.rank_many([(query, passages)])
        return ranking

    def rank_many(self, problems: Sequence[tuple[Query, Sequence[Passage]]]) -> list[Ranking]:
        """Order the passages of many queries in lock-step: their open questions share batches.

        Each ranking is the one that ``rank`` gives, if the backend answers chats independently.
        """
        plans = [self.method.plan(len(passages), query.id) for query, passages in problems]
        tallies = [_Tally() for _ in problems]

        def answer(batch: Sequence[tuple[int, Ask]]) -> list[A]:
            return self._answer(batch, problems, tallies)

        orders = run_together(plans, answer)
        return [
            Ranking(order=order, scores=_by_rank(len(order)), trace=tally.trace())
            for order, tally in zip(orders, tallies, strict=True)
        ]

    def _answer(
        self,
        batch: Sequence[tuple[int, Ask]],
        problems: Sequence[tuple[Query, Sequence[Passage]]],
        tallies: Sequence[_Tally],
    ) -> list[A]:
        chats = [
            self.method.ask(problems[i][0].text, [problems[i][1][j].text for j in ask])
            for i, ask in batch
        ]
        longest = max(self.method.max_tokens(len(ask)) for _, ask in batch)
        completions = self.backend.complete(chats, max_tokens=longest)
        answers: list[A] = []
        for (i, ask), completion in zip(batch, completions, strict=True):
            reading = self.method.read(completion.text, len(ask))
            tallies[i].calls += 1
            tallies[i].prompt_tokens += completion.prompt_tokens
            tallies[i].generated_tokens += completion.generated_tokens
            tallies[i].malformed[reading.malformed] += 1
            tallies[i].rules[reading.rule] += 1
            answers.append(reading.answer)
        return answers


def _by_rank(n: int) -> tuple[float, ...]:
    return tuple(float(n - rank) for rank in range(n))
