"""How a question gets its answer: from generated text, or from log-probabilities of its labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from rankers.parsing import A_co, Reading
from rankers.plans import A, Choice, Order
from rankers.ports import Backend, LabelBackend
from rankers.prompts import Message

Ask = Callable[[str, Sequence[str]], list[Message]]
"""(query, passages shown) -> chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt to be: a query and the passages to show, in this order."""

    query: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[A_co]):
    """The answer to one question, and what it cost."""

    reading: Reading[A_co]
    prompt_tokens: int
    generated_tokens: int


class Judge(Protocol[A_co]):
    """Answers a batch of independent questions, in order."""

    def __call__(self, questions: Sequence[Question]) -> Sequence[Reply[A_co]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TextJudge(Generic[A]):
    """Lets the model write its answer and reads it with the method's parser."""

    backend: Backend
    ask: Ask
    read: Callable[[str, int], Reading[A]]
    """(text, number of passages shown) -> reading; never raises."""
    max_tokens: Callable[[int], int]
    """Number of passages shown -> tokens an answer may take."""

    def __call__(self, questions: Sequence[Question]) -> list[Reply[A]]:
        chats = [self.ask(question.query, question.passages) for question in questions]
        longest = max(self.max_tokens(len(question.passages)) for question in questions)
        completions = self.backend.complete(chats, max_tokens=longest)
        return [
            Reply(
                reading=self.read(completion.text, len(question.passages)),
                prompt_tokens=completion.prompt_tokens,
                generated_tokens=completion.generated_tokens,
            )
            for question, completion in zip(questions, completions, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJudge(Generic[A]):
    """Reads the answer off the next-token log-probabilities of the passages' labels.

    Nothing is generated, so nothing can be malformed.
    """

    backend: LabelBackend
    ask: Ask
    labels: Sequence[str]
    """Labels of the passages shown, the first ones for a shorter list."""
    primer: str
    """What the answer begins with, so that a label comes next."""
    read: Callable[[Sequence[float]], A]
    """Log-probabilities of the labels of the passages shown -> answer."""

    def __call__(self, questions: Sequence[Question]) -> list[Reply[A]]:
        chats = [self.ask(question.query, question.passages) for question in questions]
        scores = self.backend.label_logprobs(chats, labels=self.labels, primer=self.primer)
        return [
            Reply(
                reading=Reading(
                    answer=self.read(found.logprobs[: len(question.passages)]),
                    rule="strict",
                    malformed="ok",
                ),
                prompt_tokens=found.prompt_tokens,
                generated_tokens=1,
            )
            for question, found in zip(questions, scores, strict=True)
        ]


def by_logprob(logprobs: Sequence[float]) -> Order:
    """All labels, the most probable first; equal ones in input order."""
    return tuple(sorted(range(len(logprobs)), key=lambda i: -logprobs[i]))


def most_probable(logprobs: Sequence[float]) -> Choice:
    """The most probable label; the first of equal ones."""
    return by_logprob(logprobs)[0]
