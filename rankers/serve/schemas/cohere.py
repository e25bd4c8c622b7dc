"""Cohere's rerank API, version 2: the strict one."""

from __future__ import annotations

from rankers.serve.schemas.base import (
    Answered,
    Asked,
    Count,
    Extension,
    ExtensionAnswer,
    Priority,
    QueryText,
    Texts,
)


class CohereRequest(Asked):
    """A query and its documents."""

    model: str
    """Name or alias of a served model."""
    query: QueryText
    """Not empty."""
    documents: Texts
    """At least one; structured ones as YAML text."""
    top_n: Count | None = None
    """How many of the best to give; more than there are: all."""
    max_tokens_per_doc: Count | None = None
    """Words and punctuation marks of a document that are read; the model's own limit stays."""
    priority: Priority = 0
    """0 goes first; the larger, the later."""
    return_documents: bool | None = None
    """Not used: this version of the API never does, but proxies such as LiteLLM send it."""
    rlpost: Extension | None = None
    """Our own: how to treat the request, and what to tell in the answer."""


class CohereResult(Answered):
    """A document."""

    index: int
    """In `documents` of the request."""
    relevance_score: float
    """From 0 to 1, never rising along the results; see `score_kind` of /v1/models."""


class ApiVersion(Answered):
    """Which API this is."""

    version: str
    is_deprecated: bool = False
    is_experimental: bool = False


class BilledUnits(Answered):
    """What the request would have cost there."""

    search_units: float
    """One for every hundred documents begun."""


class Tokens(Answered):
    """What the model read and wrote; 0 for encoders, which do not tell."""

    input_tokens: float
    output_tokens: float


class Meta(Answered):
    """About the answer."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: list[str] | None = None
    """Where the ranking is in part the order of the input."""


class CohereAnswer(Answered):
    """The documents, best first."""

    id: str
    """Of the request."""
    results: list[CohereResult]
    meta: Meta
    rlpost: ExtensionAnswer | None = None


class CohereError(Answered):
    """What went wrong."""

    id: str
    """Of the request, as in the log."""
    message: str
