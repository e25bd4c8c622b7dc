"""What ranking methods need of a model: small protocols, so that any engine can stand behind them.

Wherever a backend answers a batch, a ``BackendError`` in place of an answer says that the engine
failed on that item alone; a backend that raises one has failed on the whole batch. A failure is
never disguised as an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from rankers.errors import BackendError
from rankers.prompting.budget import Budget
from rankers.prompting.templates import ChatMessage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCompletion:
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
    bounded: tuple[bool, ...] = ()
    """Labels whose true value is unknown and at most the one given; empty where all are exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """How probable a text is as the answer to a chat."""

    logprobs_T: tuple[float, ...]
    """Natural log, one per token of the text."""
    prompt_tokens: int


class Backend(Protocol):
    """Greedy text generation. One call is one batch; answers come in the order of the chats."""

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> Sequence[TextCompletion | BackendError]: ...


class LabelBackend(Protocol):
    """Next-token log-probabilities of given labels, after ``primer`` has opened the answer.

    Every label is one token after the primer, or the request is refused with DataError; none is
    missing from the result, however improbable, but some backends only know bounds.
    """

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> Sequence[LabelScores | BackendError]: ...


class LikelihoodBackend(Protocol):
    """Log-probabilities of given answers, one per chat; the end of the turn is not part of them.

    Raises DataError for an answer of no tokens.
    """

    def likelihoods(
        self, chats: Sequence[Sequence[ChatMessage]], *, answers: Sequence[str]
    ) -> Sequence[Likelihood | BackendError]: ...


Role = Literal["query", "passage"]


class Embedder(Protocol):
    """Texts -> vectors. A text's vector does not depend on the other texts of the batch."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``texts`` as they are, [N, D]; lengths need not be 1."""
        ...


@runtime_checkable
class RoleEmbedder(Embedder, Protocol):
    """An embedder whose model reads a query otherwise than a passage."""

    def embed_as(
        self, role: Role, texts: Sequence[str], *, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """``texts`` after ``prompt``, or after the model's own prompt for the role, [N, D]."""
        ...


class ChatEmbedder(Embedder, Protocol):
    """An embedder that also reads chats: E2Rank's query side is a whole listwise prompt."""

    @property
    def budget(self) -> Budget | None:
        """What a chat must fit into; None where there is no limit."""
        ...

    def embed_chats(self, chats: Sequence[Sequence[ChatMessage]]) -> NDArray[np.float32]:
        """Raises BackendError on a chat beyond the budget: cutting it would lose its query."""
        ...


class CrossScorer(Protocol):
    """Reads query and passage together; a larger score is more relevant."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """Unbounded scores (logits), aligned with the (query, passage) ``pairs``."""
        ...
