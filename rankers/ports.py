"""What ranking methods need of a model: two protocols, so that any engine can stand behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rankers.prompts import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The answer to one chat."""

    text: str
    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScores:
    """How probable each label is as the next token."""

    logprobs: tuple[float, ...]
    """Natural log, over the whole vocabulary, aligned with the labels asked for."""
    prompt_tokens: int


class Backend(Protocol):
    """Greedy text generation. One call is one batch; answers come in the order of the chats.

    Raises BackendError where the engine fails: a failure is never disguised as an answer.
    """

    def complete(
        self, chats: Sequence[Sequence[Message]], *, max_tokens: int
    ) -> Sequence[Completion]: ...


class LabelBackend(Protocol):
    """Next-token log-probabilities of given labels, after ``primer`` has opened the answer.

    Every label is one token after the primer, or the request is refused with DataError; none is
    missing from the result, however improbable.
    """

    def label_logprobs(
        self, chats: Sequence[Sequence[Message]], *, labels: Sequence[str], primer: str
    ) -> Sequence[LabelScores]: ...
