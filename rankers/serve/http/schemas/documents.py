"""Documents and queries as the APIs take them: texts, or objects with fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from rankers.serve.http.schemas.base import QueryText


class DocumentObject(BaseModel):
    """A document with fields; all of them come back."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, Any]

    text: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The fields that there are."""
        return self.model_dump(exclude_none=True)


class QueryObject(BaseModel):
    """A query with its text in a field."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    text: QueryText
    """Not empty."""


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    return "<object>" if isinstance(value, dict | BaseModel) else "<text>"


def _number(value: Any) -> str:
    return "<text>" if isinstance(value, str) else "<list>"


AnyQuery = Annotated[
    Annotated[QueryText, Tag("<text>")] | Annotated[QueryObject, Tag("<object>")],
    Discriminator(_kind),
]
AnyDocument = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[DocumentObject, Tag("<object>")],
    Discriminator(_kind),
]
AnyDocuments = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[AnyDocument], Field(min_length=1), Tag("<list>")],
    Discriminator(_number),
]
"""One text is a list of one."""


def query_text(query: str | QueryObject) -> str:
    """Of a query in either form."""
    return query if isinstance(query, str) else query.text


def listed(documents: str | list[str | DocumentObject]) -> list[str | DocumentObject]:
    """Documents in either form as a list."""
    return [documents] if isinstance(documents, str) else documents


def read_all(
    documents: Sequence[str | DocumentObject], fields: list[str] | None = None, *, named: str
) -> list[str]:
    """What the model reads of each: a text, the ``text`` of an object, or ``name: value`` lines of
    its ``fields``.

    ValueError, naming ``named``, the field of the documents, where an object has none of them.
    """
    wanted = fields or ["text"]
    texts = []
    for i, document in enumerate(documents):
        if isinstance(document, str):
            texts.append(document)
            continue
        given = document.given
        if given.keys().isdisjoint(wanted):
            said = "that rank_fields names" if fields else "text"
            raise ValueError(f"{named}.{i} has no field {said}")
        lines = [(name, _as_text(given[name])) for name in wanted if name in given]
        texts.append("\n".join(f"{name}: {text}" if fields else text for name, text in lines))
    return texts
