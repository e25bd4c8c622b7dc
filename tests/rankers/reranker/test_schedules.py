"""Many queries through one reranker: bounded, in any order, and each as it ranks alone."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from rankers.errors import BackendError
from rankers.methods import setwise_reranker
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import TextCompletion
from rankers.reranker.reranker import Problem
from rankers.reranker.schedules import concurrently, lockstep
from rankers.types import Passage, Query
from tests.rankers.golden import golden


@dataclass
class Reader:
    """Picks the passage with the largest number in it, fails on queries named in ``broken``."""

    broken: frozenset[str] = frozenset()
    batches: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        with self.lock:
            self.batches.append(len(chats))
        return [self._answer(chat[0]["content"]) for chat in chats]

    def _answer(self, content: str) -> TextCompletion | BackendError:
        if any(name in content for name in self.broken):
            return BackendError("no answer")
        shown = [line for line in content.split("\n\n") if line.startswith("Passage ")]
        best = max(shown, key=lambda line: int(line.split("=")[1].rstrip('"')))
        return TextCompletion(text=best[len("Passage ")], prompt_tokens=1, generated_tokens=1)


def problem(name: str, relevance: Sequence[int]) -> Problem:
    passages = [Passage(id=str(i), text=f"rel={rel}") for i, rel in enumerate(relevance)]
    return Query(id=name, text=name), passages


@pytest.mark.parametrize("schedule", [lockstep, concurrently])
def test_calls_are_the_official_ones_whatever_the_schedule(schedule: type) -> None:
    rows = [r for r in golden("setwise") if r["method"] == "heapsort" and "error" not in r]
    rows = [row for row in rows if not row.get("invalid_every") and row["num_child"] < 23]
    assert rows
    for row in rows:
        reranker = setwise_reranker(Reader(), num_children=row["num_child"], k=row["k"])
        problems = [problem(f"q{i}", row["rels"]) for i in range(3)]
        for _, ranking in schedule(reranker, problems, at_once=2):
            assert [f"d{i}" for i in ranking.order] == row["order"]
            assert ranking.trace.calls == row["calls"]


def test_lockstep_asks_for_so_many_queries_at_a_time() -> None:
    taken: list[str] = []

    def stream() -> Iterator[Problem]:
        for i in range(5):
            taken.append(f"q{i}")
            yield problem(f"q{i}", range(4))

    backend = Reader()
    results = lockstep(setwise_reranker(backend), stream(), at_once=2)
    (query, _), ranking = next(results)
    assert (query.id, ranking.order[0], taken) == ("q0", 3, ["q0", "q1"])
    assert [q.id for (q, _), _ in results] == ["q1", "q2", "q3", "q4"]
    assert max(backend.batches) == 2


def test_concurrent_queries_do_not_wait_for_a_slow_one() -> None:
    gate = threading.Event()

    class Gated(Reader):
        def complete(
            self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
        ) -> list[TextCompletion | BackendError]:
            if "slow" in chats[0][0]["content"]:
                assert gate.wait(30)
            return super().complete(chats, max_tokens=max_tokens)

    problems = [problem(name, range(3)) for name in ("slow", "a", "b", "c")]
    finished = []
    for (query, _), ranking in concurrently(setwise_reranker(Gated()), problems, at_once=2):
        assert ranking.order == (2, 1, 0)
        finished.append(query.id)
        if len(finished) == 3:
            gate.set()
    assert finished == ["a", "b", "c", "slow"]


def test_a_query_without_any_answer_keeps_its_order_unless_strict() -> None:
    problems = [problem(name, range(3)) for name in ("a", "bad", "c")]
    reranker = setwise_reranker(Reader(broken=frozenset({"bad"})))
    found = {q.id: r for (q, _), r in concurrently(reranker, problems, at_once=1)}
    assert found["bad"].order == (0, 1, 2)
    assert [name for name, r in found.items() if r.trace.degraded] == ["bad"]
    with pytest.raises(BackendError, match="no answer"):
        list(concurrently(reranker, problems, at_once=1, strict=True))
    with pytest.raises(BackendError, match="no answer"):  # nothing ever worked: not a ranking
        list(concurrently(reranker, problems[1:2], at_once=1))
