"""Cohere's rerank API, version 2: the strict one."""

from __future__ import annotations

from rankers.serve.http.schemas.base import AnswerBody, ExtensionAnswer, Priority
from rankers.serve.http.schemas.documents import DocumentObject
from rankers.serve.http.schemas.rerank import RerankRequest


class CohereRequest(RerankRequest):
    """A query and its documents."""

    model: str | None = None
    """Name or alias of a served model; the first one where there is none."""
    priority: Priority | None = None
    """0, the default, goes first; the larger, the later."""
    return_documents: bool | None = None
    """Whether results hold their document. Not of this version of the API, but proxies ask."""


class CohereResult(AnswerBody):
    """A document."""

    index: int
    """In `documents` of the request."""
    relevance_score: float
    """From 0 to 1, never rising along the results; see `score_kind` of /v1/models."""
    document: DocumentObject | None = None
    """As it was given, where `return_documents` is true; a text as the field `text`."""


class ApiVersion(AnswerBody):
    """Which API this is."""

    version: str
    is_deprecated: bool = False
    is_experimental: bool = False


class BilledUnits(AnswerBody):
    """What the request would have cost there."""

    search_units: float
    """One for every hundred documents begun."""


class Tokens(AnswerBody):
    """What the model read and wrote; 0 for encoders, which do not tell."""

    input_tokens: float
    output_tokens: float


class Meta(AnswerBody):
    """About the answer."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: list[str] | None = None
    """Where the ranking is in part the order of the input; fields without effect."""


class CohereAnswer(AnswerBody):
    """The documents, best first."""

    id: str
    """Of the request."""
    results: list[CohereResult]
    meta: Meta
    rlpost: ExtensionAnswer | None = None


class CohereError(AnswerBody):
    """What went wrong."""

    id: str
    """Of the request, as in the log."""
    message: str
