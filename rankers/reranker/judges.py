"""How a question gets its answer: from generated text, or from log-probabilities of its labels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rankers.errors import BackendError, ScoreError
from rankers.prompting.budget import Budget, FittedPrompt, PromptTemplate, fitted
from rankers.prompting.parsing import A_co, ParsedAnswer
from rankers.reranker.plans import A, Order, Pick
from rankers.reranker.protocols import Backend, LabelBackend, LabelScores, TextCompletion

Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingPrompt:
    """One prompt to be: a query and the passages to show, in this order."""

    query: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[A_co]):
    """The answer to one question, and what it cost."""

    reading: ParsedAnswer[A_co]
    prompt_tokens: int = 0
    generated_tokens: int = 0
    truncated: int = 0
    """Passages cut to fit the prompt."""
    text: str = ""
    """What the model wrote; empty where it wrote nothing."""


class Scorer(Protocol[A_co]):
    """Answers a batch of independent questions, in order.

    A BackendError in place of a reply: the engine failed on that question alone.
    """

    def __call__(
        self, questions: Sequence[RankingPrompt]
    ) -> Sequence[Reply[A_co] | BackendError]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScorer(Generic[A]):
    """Lets the model write its answer and reads it with the method's parser."""

    backend: Backend
    ask: PromptTemplate
    read: Callable[[str, int], ParsedAnswer[A]]
    """(text, number of passages shown) -> reading; never raises."""
    max_tokens: Callable[[int], int]
    """Number of passages shown -> tokens an answer may take."""
    budget: Budget | None = None

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[A] | BackendError]:
        prompts = prompts_of(questions, self.ask, self.budget)
        # What one question gets must not depend on the others: neither the room that the prompt
        # has to leave nor the point where an answer is cut.
        by_limit: dict[int, list[int]] = {}
        for i, question in enumerate(questions):
            by_limit.setdefault(self.max_tokens(len(question.passages)), []).append(i)
        replies: dict[int, Reply[A] | BackendError] = {}
        for limit, places in by_limit.items():
            chats = [prompts[i].chat for i in places]
            found = self.backend.complete(chats, max_tokens=limit)
            for i, completion in zip(places, found, strict=True):
                replies[i] = self._reply(questions[i], prompts[i], completion)
        return [replies[i] for i in range(len(questions))]

    def _reply(
        self,
        question: RankingPrompt,
        prompt: FittedPrompt,
        completion: TextCompletion | BackendError,
    ) -> Reply[A] | BackendError:
        if isinstance(completion, BackendError):
            return completion
        return Reply(
            reading=self.read(completion.text, len(question.passages)),
            prompt_tokens=completion.prompt_tokens,
            generated_tokens=completion.generated_tokens,
            truncated=prompt.truncated,
            text=completion.text,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScorer(Generic[A]):
    """Reads the answer off the next-token log-probabilities of the labels.

    Nothing is generated, so nothing can be malformed; ``missing`` counts answers in which the
    backend only knew a bound of some label.
    """

    backend: LabelBackend
    ask: PromptTemplate
    labels: Sequence[str]
    primer: str
    """What the answer begins with, so that a label comes next."""
    read: Callable[[Sequence[float]], A]
    """Log-probabilities of the labels -> answer."""
    per_passage: bool = True
    """One label per passage, the first ones for a shorter list; else all labels, always."""
    budget: Budget | None = None

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[A] | BackendError]:
        prompts = prompts_of(questions, self.ask, self.budget)
        found = self.backend.label_logprobs(
            [prompt.chat for prompt in prompts], labels=self.labels, primer=self.primer
        )
        return [
            scores
            if isinstance(scores, BackendError)
            else Reply(
                reading=self._reading(scores, question),
                prompt_tokens=scores.prompt_tokens,
                generated_tokens=1,
                truncated=prompt.truncated,
            )
            for question, prompt, scores in zip(questions, prompts, found, strict=True)
        ]

    def _reading(self, scores: LabelScores, question: RankingPrompt) -> ParsedAnswer[A]:
        shown = len(question.passages) if self.per_passage else len(self.labels)
        bounded = scores.bounded[:shown] or (False,) * shown
        # A label that is only known to be at most so probable is no tie with one that is.
        logprobs = tuple(
            math.nextafter(logprob, -math.inf) if bound else logprob
            for logprob, bound in zip(scores.logprobs[:shown], bounded, strict=True)
        )
        answer = self.read(logprobs)
        if any(bounded):
            return ParsedAnswer(answer=answer, rule="loose", malformed="missing")
        return exact(answer)


def prompts_of(
    questions: Sequence[RankingPrompt], ask: PromptTemplate, budget: Budget | None
) -> list[FittedPrompt]:
    """The chats of ``questions``, within the budget."""
    return [fitted(budget, ask, question.query, question.passages) for question in questions]


def exact(answer: Answered) -> ParsedAnswer[Answered]:
    """The reading of an answer that was not written: it cannot be malformed."""
    return ParsedAnswer(answer=answer, rule="strict", malformed="ok")


def by_logprob(logprobs: Sequence[float]) -> Order:
    """All labels, the most probable first; equal ones in input order. ScoreError on a NaN."""
    if any(math.isnan(logprob) for logprob in logprobs):
        raise ScoreError(f"the model gave its labels the log-probabilities {logprobs}")
    return tuple(sorted(range(len(logprobs)), key=lambda i: -logprobs[i]))


def most_probable(logprobs: Sequence[float]) -> Pick:
    """The most probable label, or all that are equally so. Raises ScoreError on a NaN."""
    best = max(logprobs[i] for i in by_logprob(logprobs))
    found = tuple(i for i, logprob in enumerate(logprobs) if logprob == best)
    return found[0] if len(found) == 1 else found
