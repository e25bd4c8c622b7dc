"""Works under way whose questions share calls of the engine; any may join or leave in between."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from rankers.errors import BackendError, ScoreError
from rankers.reranker.judges import RankingPrompt, Reply, Scorer

K = TypeVar("K")
R = TypeVar("R")

Replies = Sequence[Reply[Any] | BackendError]


class PromptBatch(NamedTuple):
    """Independent questions and who answers them."""

    judge: Scorer[Any]
    questions: Sequence[RankingPrompt]


RankingTask = Generator[PromptBatch, Replies, R]
"""Asks one batch after the other, gets the replies in order, and returns what it comes to."""


@dataclass(kw_only=True, slots=True)
class _Open(Generic[R]):
    work: RankingTask[R]
    asked: PromptBatch
    replies: list[Reply[Any] | BackendError] = field(default_factory=list)

    @property
    def waiting(self) -> Sequence[RankingPrompt]:
        return self.asked.questions[len(self.replies) :]


class Batcher(Generic[K, R]):
    """A set of works that is asked in turns: one call of the engine for what all of them ask.

    The result of each is what it would be alone, if the engine treats questions independently.
    A call that raises is repeated for each work by itself, so that only those fail whose own
    questions do. ``calls`` and ``questions`` count what went to the engine.
    """

    def __init__(self, most: int | None = None) -> None:
        """``most``: questions of a turn. Works with few are not held up by those with many."""
        self.calls = 0
        self.questions = 0
        self._most = most
        self._open: dict[K, _Open[R]] = {}
        self._ended: dict[K, R | Exception] = {}

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def join(self, key: K, work: RankingTask[R]) -> None:
        """Let ``work`` take part from the next turn on."""
        self._advance(key, work, None)

    def drop(self, key: K) -> None:
        """Forget a work; nothing happens where it has ended."""
        self._open.pop(key, None)
        self._ended.pop(key, None)

    def turn(self) -> dict[K, R | Exception]:
        """Have open questions answered; returns the works that this ended, or what they raised.

        A whole call that fails with BackendError leaves each of its questions so answered.
        """
        for judge, batch in self._batches():
            for key, replies in self._replies(judge, batch).items():
                self._reply(key, replies)
        ended, self._ended = self._ended, {}
        return ended

    def _batches(self) -> list[tuple[Scorer[Any], dict[K, Sequence[RankingPrompt]]]]:
        """What goes to each judge: the same number of questions from everybody who has as many."""
        room = sum(len(entry.waiting) for entry in self._open.values())
        room = room if self._most is None else min(room, self._most)
        batches: dict[int, tuple[Scorer[Any], dict[K, Sequence[RankingPrompt]]]] = {}
        fewest_first = sorted(self._open.items(), key=lambda item: len(item[1].waiting))
        for place, (key, entry) in enumerate(fewest_first):
            share = entry.waiting[: -(-room // (len(fewest_first) - place))]
            if share:
                judge = entry.asked.judge
                batches.setdefault(id(judge), (judge, {}))[1][key] = share
            room -= len(share)
        return list(batches.values())

    def _replies(
        self, judge: Scorer[Any], batch: dict[K, Sequence[RankingPrompt]]
    ) -> dict[K, Replies | Exception]:
        questions = [question for share in batch.values() for question in share]
        self.calls += 1
        self.questions += len(questions)
        try:
            replies = judge(questions)
            if len(replies) != len(questions):
                raise ValueError(f"{len(questions)} questions got {len(replies)} answers")
        except Exception as error:
            if len(batch) > 1:
                alone = [self._replies(judge, {key: share}) for key, share in batch.items()]
                return {key: found for one in alone for key, found in one.items()}
            if isinstance(error, BackendError) and not isinstance(error, ScoreError):
                return dict.fromkeys(batch, [error] * len(questions))
            return dict.fromkeys(batch, error)
        rest = iter(replies)
        return {key: [next(rest) for _ in share] for key, share in batch.items()}

    def _reply(self, key: K, replies: Replies | Exception) -> None:
        entry = self._open[key]
        if isinstance(replies, Exception):
            self._open.pop(key)
            self._ended[key] = replies
            return
        entry.replies.extend(replies)
        if not entry.waiting:
            self._advance(key, entry.work, entry.replies)

    def _advance(self, key: K, work: RankingTask[R], replies: Replies | None) -> None:
        self._open.pop(key, None)
        try:
            asked = next(work) if replies is None else work.send(replies)
        except StopIteration as stop:
            self._ended[key] = stop.value
        except Exception as error:
            self._ended[key] = error
        else:
            self._open[key] = _Open(work=work, asked=asked)
