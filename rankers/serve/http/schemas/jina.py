"""The rerank API that Jina, vLLM and Cohere's version 1 share, with the fields of all three."""

from __future__ import annotations

from rankers.serve.http.schemas.base import AnswerBody, AnyPriority, ExtensionAnswer
from rankers.serve.http.schemas.cohere import Meta
from rankers.serve.http.schemas.documents import DocumentObject
from rankers.serve.http.schemas.rerank import RerankRequest


class JinaRequest(RerankRequest):
    """A query and its documents."""

    model: str | None = None
    """Name or alias of a served model; the first one where there is none."""
    return_documents: bool | None = None
    """Whether results hold their document; they do where this is missing."""
    priority: AnyPriority | None = None
    """0 goes first, and so does less; the larger, the later."""
    use_activation: bool | None = None
    """false: scores as the method gives them instead of a relevance from 0 to 1."""
    raw_scores: bool | None = None
    """true: the same."""

    @property
    def raw(self) -> bool:
        """Whether scores are wanted as the method gives them."""
        return self.use_activation is False or bool(self.raw_scores)


class JinaResult(AnswerBody):
    """A document."""

    index: int
    """In `documents` of the request."""
    relevance_score: float
    """From 0 to 1, never rising along the results; see `score_kind` of /v1/models."""
    document: DocumentObject | None = None
    """As it was given; a text as the field `text`."""


class Usage(AnswerBody):
    """What the model read and wrote; 0 for encoders, which do not tell."""

    prompt_tokens: int
    total_tokens: int


class JinaAnswer(AnswerBody):
    """The documents, best first."""

    id: str
    """Of the request."""
    model: str
    results: list[JinaResult]
    usage: Usage
    meta: Meta
    rlpost: ExtensionAnswer | None = None


class ErrorDetail(AnswerBody):
    """As OpenAI and vLLM put it."""

    message: str
    type: str
    param: str | None
    """The field that is wrong."""
    code: int


class OpenAiError(AnswerBody):
    """What went wrong."""

    error: ErrorDetail


class UnionError(OpenAiError):
    """What went wrong, as Cohere and as vLLM put it."""

    id: str
    """Of the request, as in the log."""
    message: str
