"""Answers with known relevance, counting and recording what was asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rankers.reranker.plans import A, Choice, Order, RankingPlan, ShownIds, run_plan


@dataclass(kw_only=True)
class Oracle:
    """A model that reads relevance instead of text; ties go to the candidate shown first."""

    relevance: Sequence[float]
    asked: list[ShownIds] = field(default_factory=list)

    def best(self, ask: ShownIds) -> Choice:
        self.asked.append(ask)
        return max(range(len(ask)), key=lambda position: self.relevance[ask[position]])

    def worst(self, ask: ShownIds) -> Choice:
        self.asked.append(ask)
        return min(range(len(ask)), key=lambda position: self.relevance[ask[position]])

    def order(self, ask: ShownIds) -> Order:
        self.asked.append(ask)
        return tuple(sorted(range(len(ask)), key=lambda position: -self.relevance[ask[position]]))

    def fair(self, gap: float) -> Callable[[ShownIds], Choice]:
        """Prefers the better of two, but the first one shown where they differ by less."""

        def prefer(ask: ShownIds) -> Choice:
            self.asked.append(ask)
            first, second = (self.relevance[i] for i in ask)
            return 1 if second - first >= gap else 0

        return prefer


def run_alone(plan: RankingPlan[A], answer: Callable[[ShownIds], A]) -> Order:
    """The order of one plan whose asks are answered one by one."""
    return run_plan(plan, lambda asks: [answer(ask) for ask in asks]).order
