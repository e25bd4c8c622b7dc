"""What the requests of all rerank APIs have in common."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from rankers.serve.http.schemas.base import MOST_FIELDS, Extension, NoneOrMore, one_number
from rankers.serve.http.schemas.documents import (
    AnyDocuments,
    AnyQuery,
    listed,
    query_text,
    read_all,
)
from rankers.serve.http.schemas.foreign import Foreign


class RerankRequest(Foreign):
    """A query and its documents."""

    query: AnyQuery
    """Not empty."""
    documents: AnyDocuments
    """At least one; a text alone is one."""
    top_n: NoneOrMore | None = None
    """How many of the best to give; 0, or more than there are: all."""
    top_k: NoneOrMore | None = None
    """Another name for `top_n`."""
    rank_fields: Annotated[list[str], Field(min_length=1, max_length=MOST_FIELDS)] | None = None
    """Fields of the document objects that are read; `text` where there are none."""
    max_tokens_per_doc: NoneOrMore | None = None
    """Words and punctuation marks of a document that are read; the model's own limit stays; 0:
    all."""
    max_tokens_per_query: NoneOrMore | None = None
    """The same of the query."""
    rlpost: Extension | None = None
    """Our own: how to treat the request, and what to tell in the answer."""

    @model_validator(mode="after")
    def _documents_can_be_read(self) -> Self:
        read_all(listed(self.documents), self.rank_fields, named="documents")
        return self

    @model_validator(mode="after")
    def _one_number_of_results(self) -> Self:
        one_number(self.top_n, self.top_k)
        return self

    @property
    def question(self) -> str:
        """The text of the query."""
        return query_text(self.query)

    def texts(self) -> list[str]:
        """What the model reads of each document."""
        return read_all(listed(self.documents), self.rank_fields, named="documents")

    @property
    def most(self) -> int | None:
        """How many results to give; None for all."""
        return self.top_n or self.top_k or None
