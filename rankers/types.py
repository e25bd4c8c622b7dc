"""What rankers pass around: documents, queries, judged collections, runs and rankings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

Qrels = Mapping[str, Mapping[str, int]]
"""Query id -> document id -> graded relevance; <= 0 is not relevant, absent is unjudged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One item of a collection."""

    id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """Title and text as BEIR joins them: with one space, stripped."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One candidate as a ranker sees it; ``text`` is usually ``Document.content``, perhaps cut."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One information need."""

    id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Documents with judged queries: one split of a test collection. Treat the mappings as frozen.

    ``queries`` holds exactly the queries of ``qrels``, in the order of the qrels file.
    """

    name: str
    corpus: Mapping[str, Document]
    queries: Mapping[str, str]
    qrels: Qrels

    @cached_property
    def num_judged_absent(self) -> int:
        """Judgements about documents that ``corpus`` lacks (pools cut to candidate lists)."""
        return sum(d not in self.corpus for gains in self.qrels.values() for d in gains)


class ScoredDoc(NamedTuple):
    """One line of a run. A tuple, not a dataclass: runs have millions of them."""

    id: str
    score: float


Run = Mapping[str, list[ScoredDoc]]
"""Query id -> documents, best first. The order of the list is the ranking; scores may tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one ranking cost, and how well the model kept to the format."""

    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    malformed: Mapping[str, int] = field(default_factory=dict)
    """Answers by class: ok, wrong_format, repetition, missing."""
    rules: Mapping[str, int] = field(default_factory=dict)
    """Answers by the rule that read them: strict, loose, none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """A permutation of the candidates of one query, best first, by index and never by text.

    Raises ValueError where ``order`` is no permutation or the scores are not aligned with it.
    """

    order: tuple[int, ...]
    """``order[0]`` is the input index of the best candidate."""
    scores: tuple[float, ...] = ()
    """Aligned with ``order``; their meaning is the method's. Empty where it has none."""
    trace: Trace = field(default_factory=Trace)

    def __post_init__(self) -> None:
        if sorted(self.order) != list(range(len(self.order))):
            raise ValueError(f"order must be a permutation of its indices, got {self.order}")
        if self.scores and len(self.scores) != len(self.order):
            raise ValueError(f"{len(self.scores)} scores for {len(self.order)} candidates")

    def run_line(self, ids: Sequence[str]) -> list[ScoredDoc]:
        """This ranking as the entry of a run, given the candidates' ids in input order."""
        scores = self.scores or tuple(float(-rank) for rank in range(len(self.order)))
        return [ScoredDoc(ids[i], score) for i, score in zip(self.order, scores, strict=True)]
