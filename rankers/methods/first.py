"""FIRST (arXiv 2406.15657): a window's order by the first token's log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rankers.methods.listwise import sliding_window_plan
from rankers.prompting.budget import Budget
from rankers.prompting.sanitize import neutralise_fields as neutralise_fields
from rankers.prompting.templates import (
    FIRST_LABELS,
    LETTERS,
    ChatMessage,
    FirstTemplate,
    listwise_messages,
    rank_zephyr_messages,
)
from rankers.reranker.judges import LabelScorer, by_logprob
from rankers.reranker.plans import Order, unseeded
from rankers.reranker.protocols import LabelBackend
from rankers.reranker.reranker import PlannedReranker


def first_messages(
    query: str, passages: Sequence[str], *, template: FirstTemplate = "rank_zephyr"
) -> list[ChatMessage]:
    """FIRST's question (arXiv 2406.15657): the one of RankZephyr with letters as identifiers; or
    ``compact``, whose numbers are tokens of their own in models made for it.

    Raises ValueError beyond 26 passages: windows are for that.
    """
    if len(passages) > len(LETTERS):
        raise ValueError(f"{len(passages)} passages, but there are {len(LETTERS)} letters")
    if template == "compact":
        return listwise_messages(query, passages, template="compact")
    return rank_zephyr_messages(
        neutralise_fields(query),
        [neutralise_fields(passage) for passage in passages],
        labels=LETTERS,
        kind="an alphabetical",
        example="[B] > [A]",
    )


def first_reranker(
    backend: LabelBackend,
    *,
    window: int = 20,
    step: int = 10,
    template: FirstTemplate = "rank_zephyr",
    budget: Budget | None = None,
) -> PlannedReranker[Order]:
    """FIRST (arXiv 2406.15657): a window's order is that of its labels' first-token log-probs.

    Raises ValueError for a window larger than the alphabet; longer lists go through windows.
    """
    if window > len(LETTERS):
        raise ValueError(f"window must be <= {len(LETTERS)}, one letter each, got {window}")
    labels = FIRST_LABELS[template]
    return PlannedReranker(
        name=f"first-{window}-{step}",
        plan=partial(unseeded, partial(sliding_window_plan, window=window, step=step)),
        judge=LabelScorer(
            backend=backend,
            ask=partial(first_messages, template=template),
            labels=labels.tokens[:window],
            primer=labels.before,
            read=by_logprob,
            budget=budget,
        ),
    )
