"""Setwise (arXiv 2310.09497): which passage of a few is the most relevant, and sorts by it."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from functools import partial
from typing import Literal

from rankers.prompting.budget import Budget
from rankers.prompting.parsing import ParsedAnswer, Rule, after_reasoning, answer_tags
from rankers.prompting.sanitize import neutralise_fields
from rankers.prompting.templates import LETTERS, ChatMessage, user_chat
from rankers.prompting.verdicts import verdict
from rankers.reranker.judges import LabelScorer, TextScorer, most_probable
from rankers.reranker.plans import (
    Choice,
    KeyedPlan,
    Pick,
    RankingPlan,
    ShownIds,
    Variant,
    at_most,
    settled,
    top_then_rest,
    unseeded,
)
from rankers.reranker.protocols import Backend, LabelBackend
from rankers.reranker.reranker import PlannedReranker

SetwiseSort = Literal["heapsort", "bubblesort"]
SETWISE_LABELS = LETTERS[:23]
"""Labels of setwise prompts; more passages than letters do not fit into one question."""

LETTER_TOKENS = 8
_LABEL = re.compile(r"(?:passage\s+)?\[?([A-W])\]?\.?", re.IGNORECASE)


def setwise_messages(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    """The setwise question of arXiv 2310.09497. Raises ValueError beyond 23 passages."""
    if len(passages) > len(SETWISE_LABELS):
        raise ValueError(
            f"{len(passages)} passages, but a setwise question has {len(SETWISE_LABELS)}"
        )
    listed = "\n\n".join(
        f'Passage {letter}: "{neutralise_fields(passage)}"'
        for letter, passage in zip(SETWISE_LABELS, passages, strict=False)
    )
    return user_chat(
        f'Given a query "{neutralise_fields(query)}", which of the following passages is the most '
        f"relevant one to the query?\n\n{listed}\n\n"
        "Output only the passage label of the most relevant passage:"
    )


def read_letter(text: str, n: int) -> ParsedAnswer[Choice]:
    """Which of ``n`` lettered passages ``text`` names; never raises.

    Strict rule: the whole answer is one label (``B``, ``[B]``, ``Passage B.``). Loose rule: the
    label that it decides for, see ``rankers.prompting.verdicts.verdict``.
    """
    answer = (after_reasoning(text) or "").strip()
    whole = _LABEL.fullmatch(answer)
    if whole:
        return chosen(SETWISE_LABELS.index(whole[1].upper()) + 1, n, "strict")
    return chosen(verdict(answer_tags(answer) or answer, "letters"), n, "loose")


def chosen(label: int | None, n: int, rule: Rule) -> ParsedAnswer[Choice]:
    """The reading of a label, counted from 1; none where no passage bears it."""
    if label is None or not 1 <= label <= n:
        return ParsedAnswer(answer=None, rule="none", malformed="wrong_format")
    return ParsedAnswer(
        answer=label - 1, rule=rule, malformed="ok" if rule == "strict" else "wrong_format"
    )


def setwise_heapsort(
    n: int, *, num_children: int = 3, k: int = 10, variant: Variant = "paper"
) -> RankingPlan[Pick]:
    """The ``k`` best of ``n`` by a heap of arity ``num_children``, then the rest in input order."""
    _check(num_children, k)
    heap = list(range(n))
    for parent in range(n // num_children, -1, -1):
        yield from _sift(heap, parent, n, num_children, variant)
    top: list[int] = []
    for last in range(n - 1, -1, -1):
        if len(top) == k:
            break
        heap[0], heap[last] = heap[last], heap[0]
        top.append(heap[last])
        if len(top) < k:
            yield from _sift(heap, 0, last, num_children, variant)
    return top_then_rest(top, n)


def setwise_bubblesort(
    n: int, *, num_children: int = 3, k: int = 10, variant: Variant = "paper"
) -> RankingPlan[Pick]:
    """The ``k`` best of ``n`` by windows of ``num_children + 1`` that move up from the bottom.

    Neighbouring windows share one candidate. A pass starts below where the previous one first
    changed anything: windows further down would be answered as before.
    """
    _check(num_children, k)
    ranking = list(range(n))
    bottom = n - (num_children + 1)
    last_start = bottom
    for head in range(min(k, n)):
        if last_start + num_children < head:  # nothing of that window is left to order
            last_start += num_children
        start, end = last_start, last_start + num_children + 1
        changed = False
        while True:
            start = max(start, head)
            window = ranking[start:end]
            best = (yield from _best(window, variant)) if len(window) > 1 else 0
            if best:
                ranking[start], ranking[start + best] = ranking[start + best], ranking[start]
                if not changed:
                    changed = True
                    if last_start != bottom and best == len(window) - 1:
                        # The shared candidate left the window below, whose start this is.
                        last_start = start + best
            if start == head:
                break
            if not changed:
                last_start -= num_children
            start -= num_children
            end -= num_children
    return top_then_rest(ranking[:k], n)


def _sift(
    heap: list[int], parent: int, size: int, arity: int, variant: Variant
) -> Generator[list[ShownIds], Sequence[Pick], None]:
    while arity * parent + 1 < size:
        family = [parent, *range(arity * parent + 1, min(arity * (parent + 1) + 1, size))]
        largest = family[(yield from _best([heap[i] for i in family], variant))]
        if largest == parent:
            return
        heap[parent], heap[largest] = heap[largest], heap[parent]
        parent = largest


def _best(
    candidates: Sequence[int], variant: Variant
) -> Generator[list[ShownIds], Sequence[Pick], int]:
    shown = tuple(candidates)
    [pick] = yield [shown]
    return settled(pick, shown, variant=variant)


def _check(num_children: int, k: int) -> None:
    if num_children < 1 or k < 1:
        raise ValueError(f"need num_children >= 1 and k >= 1, got {num_children} and {k}")


def setwise_reranker(
    backend: Backend,
    *,
    sort: SetwiseSort = "heapsort",
    num_children: int = 3,
    k: int = 10,
    budget: Budget | None = None,
) -> PlannedReranker[Choice]:
    """The ``k`` best by questions that pick one of ``num_children + 1`` (arXiv 2310.09497)."""
    return PlannedReranker(
        name=f"setwise-{sort}-{num_children}-{k}",
        plan=_setwise_plan(sort, num_children, k),
        judge=TextScorer(
            backend=backend,
            ask=setwise_messages,
            read=read_letter,
            max_tokens=partial(at_most, LETTER_TOKENS),
            budget=budget,
        ),
    )


def setwise_likelihood_reranker(
    backend: LabelBackend,
    *,
    sort: SetwiseSort = "heapsort",
    num_children: int = 3,
    k: int = 10,
    budget: Budget | None = None,
) -> PlannedReranker[Pick]:
    """Setwise with the most probable label in place of a generated one."""
    return PlannedReranker(
        name=f"setwise-likelihood-{sort}-{num_children}-{k}",
        plan=_setwise_plan(sort, num_children, k),
        judge=LabelScorer(
            backend=backend,
            ask=setwise_messages,
            labels=SETWISE_LABELS[: num_children + 1],
            primer="",
            read=most_probable,
            budget=budget,
        ),
    )


def _setwise_plan(sort: SetwiseSort, num_children: int, k: int) -> KeyedPlan:
    if num_children >= len(SETWISE_LABELS):
        raise ValueError(f"num_children must be < {len(SETWISE_LABELS)}, got {num_children}")
    plan = {"heapsort": setwise_heapsort, "bubblesort": setwise_bubblesort}[sort]
    return partial(unseeded, partial(plan, num_children=num_children, k=k))
