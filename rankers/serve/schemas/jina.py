"""The rerank API that Jina, vLLM and Cohere's version 1 share, with the fields of all three."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from rankers.serve.schemas.base import (
    MOST_FIELDS,
    Answered,
    Asked,
    Count,
    Extension,
    ExtensionAnswer,
    Priority,
    QueryText,
    Whole,
    whole,
)
from rankers.serve.schemas.cohere import Meta


class DocumentObject(BaseModel):
    """A document with fields; all of them come back."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, str]

    text: str | None = None

    def read(self, fields: list[str] | None) -> str:
        """What the model reads: ``text``, or ``name: value`` lines of the fields."""
        given = self.given
        if fields is None:
            return given["text"]
        return "\n".join(f"{name}: {given[name]}" for name in fields if name in given)

    @property
    def given(self) -> dict[str, str]:
        """The fields that there are."""
        return self.model_dump(exclude_none=True)


def _kind(document: Any) -> str:
    return "<text>" if isinstance(document, str) else "<object>"


AnyDocument = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[DocumentObject, Tag("<object>")],
    Discriminator(_kind),
]


class JinaRequest(Asked):
    """A query and its documents."""

    model: str | None = None
    """Name or alias of a served model; the first one where there is none."""
    query: QueryText
    """Not empty."""
    documents: Annotated[list[AnyDocument], Field(min_length=1)]
    """At least one."""
    top_n: Annotated[int, Field(ge=0), BeforeValidator(whole)] | None = None
    """How many of the best to give; 0, or more than there are: all."""
    return_documents: bool = True
    """Whether results hold their document."""
    rank_fields: Annotated[list[str], Field(min_length=1, max_length=MOST_FIELDS)] | None = None
    """Fields of the document objects that are read; `text` where there are none."""
    max_tokens_per_doc: Count | None = None
    """Words and punctuation marks of a document that are read; the model's own limit stays."""
    priority: Priority = 0
    """0 goes first; the larger, the later."""
    rlpost: Extension | None = None
    """Our own: how to treat the request, and what to tell in the answer."""
    max_chunks_per_doc: Whole | None = None
    """Not used: a document is one chunk."""
    truncation: bool | None = None
    """Not used: passages are cut to what the model reads, prompts never."""
    truncate_prompt_tokens: Whole | None = None
    """Not used: see `max_tokens_per_doc`."""
    truncation_side: Literal["right"] | None = None
    """The end is what is cut."""
    use_activation: Literal[True] | None = None
    """Not used: relevance is from 0 to 1. The raw scores are in the answer's `rlpost`."""
    user: str | None = None
    """Not used."""
    request_id: str | None = None
    """Not used: send the header X-Request-ID."""

    @model_validator(mode="after")
    def _objects_can_be_read(self) -> JinaRequest:
        wanted = self.rank_fields or ["text"]
        for i, document in enumerate(self.documents):
            if isinstance(document, DocumentObject) and document.given.keys().isdisjoint(wanted):
                named = "that rank_fields names" if self.rank_fields else "text"
                raise ValueError(f"documents.{i} has no field {named}")
        return self

    def texts(self) -> list[str]:
        """What the model reads of each document."""
        return [
            document if isinstance(document, str) else document.read(self.rank_fields)
            for document in self.documents
        ]


class JinaResult(Answered):
    """A document."""

    index: int
    """In `documents` of the request."""
    relevance_score: float
    """From 0 to 1, never rising along the results; see `score_kind` of /v1/models."""
    document: DocumentObject | None = None
    """As it was given; a text as the field `text`."""


class Usage(Answered):
    """What the model read and wrote; 0 for encoders, which do not tell."""

    prompt_tokens: int
    total_tokens: int


class JinaAnswer(Answered):
    """The documents, best first."""

    id: str
    """Of the request."""
    model: str
    results: list[JinaResult]
    usage: Usage
    meta: Meta
    rlpost: ExtensionAnswer | None = None


class ErrorDetail(Answered):
    """As OpenAI and vLLM put it."""

    message: str
    type: str
    param: str | None
    """The field that is wrong."""
    code: int


class OpenAiError(Answered):
    """What went wrong."""

    error: ErrorDetail


class UnionError(OpenAiError):
    """What went wrong, as Cohere and as vLLM put it."""

    id: str
    """Of the request, as in the log."""
    message: str
