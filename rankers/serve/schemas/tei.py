"""The rerank API of text-embeddings-inference."""

from __future__ import annotations

from typing import Literal

from pydantic import RootModel

from rankers.serve.schemas.base import Answered, Asked, Control, QueryText, Texts


class TeiRequest(Asked):
    """A query and its texts."""

    query: QueryText
    """Not empty."""
    texts: Texts
    """At least one."""
    raw_scores: bool = False
    """Scores as the method gives them instead of a relevance from 0 to 1."""
    return_text: bool = False
    """Whether results hold their text."""
    truncate: bool | None = None
    """Not used: passages are cut to what the model reads, prompts never."""
    truncation_direction: Literal["right", "Right"] = "right"
    """The end is what is cut."""
    model: str | None = None
    """Name or alias of a served model (TEI itself serves one); the first where there is none."""
    rlpost: Control | None = None
    """Our own: how to treat the request."""


class TeiResult(Answered):
    """A text."""

    index: int
    """In `texts` of the request."""
    score: float
    """Never rising along the results."""
    text: str | None = None


class TeiAnswer(RootModel[list[TeiResult]]):
    """The texts, best first."""


class TeiError(Answered):
    """What went wrong."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]
