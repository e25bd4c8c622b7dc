"""OpenAI's embeddings API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rankers.serve.http.schemas.base import AnswerBody, Control, Count, Texts
from rankers.serve.http.schemas.foreign import Foreign
from rankers.serve.http.schemas.jina import Usage

OF_DOCUMENTS = r"(?i)^(?:.*[._-])?(?:document|passage)s?$"


class EmbeddingsRequest(Foreign):
    """Texts to embed as the model embeds documents. What has no effect is named in the header
    X-Rlpost-Warnings."""

    input: str | Texts
    """At least one; not token ids."""
    model: str | None = None
    """Name or alias of a served model; the first that embeds where there is none."""
    encoding_format: Literal["float", "base64"] | None = None
    """base64: of little-endian float32."""
    dimensions: Count | None = None
    """Refused where it is not that of the model: embeddings are given whole."""
    embed_dtype: Literal["float32"] | None = None
    """Of the numbers in base64."""
    endianness: Literal["little", "native"] | None = None
    """Of the numbers in base64."""
    input_type: Annotated[str, Field(pattern=OF_DOCUMENTS)] | None = None
    """document or passage: queries would need another prompt."""
    task: Annotated[str, Field(pattern=OF_DOCUMENTS)] | None = None
    """Another name for `input_type`: retrieval.passage."""
    prompt_name: Annotated[str, Field(pattern=OF_DOCUMENTS)] | None = None
    """Another name for `input_type`."""
    rlpost: Control | None = None
    """Our own: how to treat the request."""


class Embedding(AnswerBody):
    """Of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(AnswerBody):
    """Embeddings in the order of the request."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage
