"""OpenAI's embeddings API."""

from __future__ import annotations

from typing import Literal

from rankers.serve.schemas.base import Answered, Asked, Control, Texts
from rankers.serve.schemas.jina import Usage


class EmbeddingsRequest(Asked):
    """Texts to embed as the model embeds documents."""

    input: str | Texts
    """At least one; not token ids."""
    model: str | None = None
    """Name or alias of a served model; the first that embeds where there is none."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64: of little-endian float32."""
    user: str | None = None
    """Not used."""
    rlpost: Control | None = None
    """Our own: how to treat the request."""


class Embedding(Answered):
    """Of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(Answered):
    """Embeddings in the order of the request."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage
