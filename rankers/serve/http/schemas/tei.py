"""The rerank API of text-embeddings-inference."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, RootModel, model_validator

from rankers.serve.http.schemas.base import AnswerBody, Control, NoneOrMore, QueryText, one_number
from rankers.serve.http.schemas.documents import AnyDocument, read_all
from rankers.serve.http.schemas.foreign import Foreign


class TeiRequest(Foreign):
    """A query and its texts. What has no effect is named in the header X-Rlpost-Warnings."""

    query: QueryText
    """Not empty."""
    texts: Annotated[list[AnyDocument], Field(min_length=1)]
    """At least one; objects by their field `text`."""
    raw_scores: bool | None = None
    """Scores as the method gives them instead of a relevance from 0 to 1."""
    return_text: bool | None = None
    """Whether results hold their text."""
    model: str | None = None
    """Name or alias of a served model (TEI itself serves one); the first where there is none."""
    top_n: NoneOrMore | None = None
    """How many of the best to give (TEI itself gives all); 0, or more than there are: all."""
    top_k: NoneOrMore | None = None
    """Another name for `top_n`."""
    rlpost: Control | None = None
    """Our own: how to treat the request."""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        read_all(self.texts, named="texts")
        one_number(self.top_n, self.top_k)
        return self

    def read(self) -> list[str]:
        """What the model reads of each text."""
        return read_all(self.texts, named="texts")


class TeiResult(AnswerBody):
    """A text."""

    index: int
    """In `texts` of the request."""
    score: float
    """Never rising along the results."""
    text: str | None = None


class TeiAnswer(RootModel[list[TeiResult]]):
    """The texts, best first."""


class TeiError(AnswerBody):
    """What went wrong."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]
