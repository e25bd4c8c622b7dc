"""What rankers pass around: documents, queries, judged collections, runs and rankings."""

from collections import Counter
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

    ``queries`` holds exactly the queries of ``qrels``, in the order of the qrels file; only a
    collection loaded with the queries that nobody has judged has these behind them.
    """

    name: str
    corpus: Mapping[str, Document]
    queries: Mapping[str, str]
    qrels: Qrels
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Query id -> documents that its results and their evaluation leave out (BRIGHT's lists, a
    query that is itself a document)."""

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
    """What one ranking cost, how well the model kept to the format, and what went wrong."""

    calls: int = 0
    """Questions asked, answered or not."""
    prompt_tokens: int = 0
    """0 where the model is an encoder: those do not report tokens."""
    generated_tokens: int = 0
    malformed: Mapping[str, int] = field(default_factory=dict)
    """Answers by class: ok, wrong_format, repetition, missing."""
    rules: Mapping[str, int] = field(default_factory=dict)
    """Answers by the rule that read them: strict, loose, none."""
    failures: int = 0
    """Questions that the engine failed to answer: there the order that stood was kept."""
    truncated: int = 0
    """Passages cut to fit a prompt, counted at every showing."""
    texts: tuple[str, ...] = ()
    """What the model wrote, reasoning included, in the order of the calls; only where asked for."""
    seconds: float = field(default=0.0, compare=False)
    """Wall time until this ranking stood; queries ranked together share it."""

    @property
    def degraded(self) -> bool:
        """Whether the engine failed somewhere: the ranking is in part the order it was given."""
        return self.failures > 0

    def __add__(self, other: "Trace") -> "Trace":
        return Trace(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            generated_tokens=self.generated_tokens + other.generated_tokens,
            malformed=dict(Counter(self.malformed) + Counter(other.malformed)),
            rules=dict(Counter(self.rules) + Counter(other.rules)),
            failures=self.failures + other.failures,
            truncated=self.truncated + other.truncated,
            texts=self.texts + other.texts,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """A permutation of the candidates of one query, best first, by index and never by text.

    Raises ValueError where ``order`` is no permutation or the scores are not aligned with it.
    """

    order: tuple[int, ...]
    """``order[0]`` is the input index of the best candidate."""
    scores: tuple[float, ...] = ()
    """Aligned with ``order`` and never rising along it; their meaning is ``Reranker.score_kind``.

    Empty where there are none: a method that scores passages, and an engine that failed on some.
    """
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
