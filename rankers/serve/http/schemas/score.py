"""vLLM's score API: one text against many, or pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from rankers.serve.http.schemas.base import (
    AnswerBody,
    AnyPriority,
    Extension,
    ExtensionAnswer,
    NoneOrMore,
)
from rankers.serve.http.schemas.foreign import Foreign
from rankers.serve.http.schemas.jina import Usage

Side = str | list[str]
PAIRS = (("queries", "documents"), ("queries", "items"), ("text_1", "text_2"), ("data_1", "data_2"))


class ScoreRequest(Foreign):
    """Queries and documents under one of four pairs of names. What has no effect is named in the
    header X-Rlpost-Warnings."""

    model: str | None = None
    """Name or alias of a served model; the first one where there is none."""
    queries: Side | None = None
    """One, which is scored with every document, or as many as documents."""
    documents: Side | None = None
    """What is scored."""
    items: Side | None = None
    """Another name for `documents`."""
    text_1: Side | None = None
    """Another name for `queries`."""
    text_2: Side | None = None
    """Another name for `documents`."""
    data_1: Side | None = None
    """Another name for `queries`."""
    data_2: Side | None = None
    """Another name for `documents`."""
    rlpost: Extension | None = None
    """Our own: how to treat the request, and what to tell in the answer."""
    priority: AnyPriority | None = None
    """0 goes first, and so does less; the larger, the later."""
    use_activation: bool | None = None
    """false: scores as the method gives them instead of a relevance from 0 to 1."""
    max_tokens_per_doc: NoneOrMore | None = None
    """Words and punctuation marks of a document that are read; the model's own limit stays; 0:
    all."""
    max_tokens_per_query: NoneOrMore | None = None
    """The same of a query."""

    @model_validator(mode="after")
    def _one_pair(self) -> ScoreRequest:
        names = {name for pair in PAIRS for name in pair}
        given = {name for name in names if getattr(self, name) is not None}
        if not any(given == set(pair) for pair in PAIRS):
            said = ", ".join(sorted(given)) or "none"
            raise ValueError(f"give queries and documents, or text_1 and text_2; given: {said}")
        queries, documents = self.sides()
        if not documents or not queries or not all(query.strip() for query in queries):
            raise ValueError("neither queries nor documents may be empty")
        return self

    def named(self) -> str:
        """The field that holds the documents."""
        return next(second for _, second in PAIRS if getattr(self, second) is not None)

    def sides(self) -> tuple[list[str], list[str]]:
        """Queries and documents, as lists."""
        first, second = (
            next(given for name in names if (given := getattr(self, name)) is not None)
            for names in zip(*PAIRS, strict=True)
        )
        return _listed(first), _listed(second)


def _listed(texts: Side) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


class PairScore(AnswerBody):
    """Of one pair."""

    index: int
    object: Literal["score"] = "score"
    score: float
    """From 0 to 1; see `score_kind` of /v1/models."""


class ScoreAnswer(AnswerBody):
    """Scores in the order of the request."""

    id: str
    """Of the request."""
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[PairScore]
    usage: Usage
    rlpost: list[ExtensionAnswer] | None = None
    """One for each query that was ranked."""
