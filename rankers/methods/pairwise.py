"""PRP (arXiv 2306.17563) and duoT5: which of two passages is more relevant, and sorts by it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Literal

from rankers.methods.setwise import LETTER_TOKENS, read_letter
from rankers.prompting.budget import Budget, PromptTemplate
from rankers.prompting.sanitize import neutralise_fields
from rankers.prompting.templates import ChatMessage, user_chat
from rankers.reranker.judges import LabelScorer, TextScorer, most_probable
from rankers.reranker.plans import (
    Choice,
    KeyedPlan,
    Pick,
    RankingPlan,
    ShownIds,
    Variant,
    at_most,
    by_score,
    top_then_rest,
    unseeded,
)
from rankers.reranker.protocols import Backend, LabelBackend
from rankers.reranker.reranker import PlannedReranker, ScoreKind

PairwiseSort = Literal["all_pairs", "heapsort", "sliding"]
PairwiseQuestion = Literal["prp", "duo_t5"]


def pairwise_messages(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    """The pairwise question of PRP, arXiv 2306.17563, for exactly two passages."""
    first, second = map(neutralise_fields, passages)
    return user_chat(
        f'Given a query "{neutralise_fields(query)}", which of the following two passages is more '
        f'relevant to the query?\n\nPassage A: "{first}"\n\n'
        f'Passage B: "{second}"\n\nOutput Passage A or Passage B:'
    )


def duo_t5_messages(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    """duoT5's question (arXiv 2101.05667) for exactly two passages: is the first one better?"""
    first, second = map(neutralise_fields, passages)
    return user_chat(
        f"Query: {neutralise_fields(query)} Document0: {first} Document1: {second} Relevant:"
    )


def all_pairs(n: int) -> RankingPlan[Pick]:
    """Every pair in both orders, n(n-1) questions in one batch: a win scores 1, a tie 1/2 each.

    The scores of the outcome are these sums; equal ones keep the input order.
    """
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    scores = [0.0] * n
    if pairs:
        answers = yield [ask for i, j in pairs for ask in ((i, j), (j, i))]
        for (i, j), forth, back in zip(pairs, answers[::2], answers[1::2], strict=True):
            outcome = _outcome(forth, back)
            scores[i] += outcome
            scores[j] += 1 - outcome
    return by_score(scores, range(n))


def pairwise_heapsort(n: int, *, k: int = 10, variant: Variant = "paper") -> RankingPlan[Pick]:
    """The ``k`` best of ``n`` by a binary heap, then the rest in input order.

    Of a tie, ``paper`` puts the candidate first that the first stage did; ``released`` moves on
    wins alone, as upstream.
    """
    _check(k)
    heap = list(range(n))
    for parent in range(n // 2, -1, -1):
        yield from _sift(heap, parent, n, variant)
    top: list[int] = []
    for last in range(n - 1, -1, -1):
        if len(top) == k:
            break
        heap[0], heap[last] = heap[last], heap[0]
        top.append(heap[last])
        if len(top) < k:
            yield from _sift(heap, 0, last, variant)
    return top_then_rest(top, n)


def pairwise_sliding(n: int, *, k: int = 10) -> RankingPlan[Pick]:
    """``k`` passes from the bottom to the top; the lower candidate rises on a win alone.

    A pass starts below where the previous one first changed anything.
    """
    _check(k)
    ranking = list(range(n))
    last_end = n - 1
    for head in range(min(k, n)):
        current = last_end
        changed = False
        while current > head:
            if (yield from _duel(ranking[current], ranking[current - 1])) == 1:
                ranking[current - 1 : current + 1] = ranking[current], ranking[current - 1]
                if not changed:
                    changed = True
                    if last_end != n - 1:
                        last_end += 1
            if not changed:
                last_end -= 1
            current -= 1
    return top_then_rest(ranking[:k], n)


def _sift(
    heap: list[int], parent: int, size: int, variant: Variant
) -> Generator[list[ShownIds], Sequence[Pick], None]:
    while True:
        largest = parent
        for child in (2 * parent + 1, 2 * parent + 2):
            if child >= size:
                continue
            outcome = yield from _duel(heap[child], heap[largest])
            first = variant == "paper" and heap[child] < heap[largest]
            if outcome == 1 or (outcome == 0.5 and first):
                largest = child
        if largest == parent:
            return
        heap[parent], heap[largest] = heap[largest], heap[parent]
        parent = largest


def _duel(one: int, other: int) -> Generator[list[ShownIds], Sequence[Pick], float]:
    forth, back = yield [(one, other), (other, one)]
    return _outcome(forth, back)


def _outcome(forth: Pick, back: Pick) -> float:
    """1 if the first candidate won in both orders, 0 if the second did, else 1/2."""
    return {(0, 1): 1.0, (1, 0): 0.0}.get((forth, back), 0.5)  # type: ignore[arg-type]


def _check(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")


_PAIRWISE_LABELS: dict[PairwiseQuestion, tuple[PromptTemplate, str, tuple[str, str]]] = {
    "prp": (pairwise_messages, "Passage", (" A", " B")),
    "duo_t5": (duo_t5_messages, "", ("true", "false")),
}
"""Question, what opens the answer, and the labels that say first and second."""

_PAIRWISE_SCORES: dict[PairwiseSort, ScoreKind] = {
    "all_pairs": "wins",
    "heapsort": "rank",
    "sliding": "rank",
}


def pairwise_reranker(
    backend: Backend,
    *,
    sort: PairwiseSort = "heapsort",
    k: int = 10,
    budget: Budget | None = None,
) -> PlannedReranker[Choice]:
    """Duels in both orders, a conflict being a tie (PRP, arXiv 2306.17563)."""
    return PlannedReranker(
        name=f"pairwise-{sort}-{k}",
        plan=_pairwise_plan(sort, k),
        judge=TextScorer(
            backend=backend,
            ask=pairwise_messages,
            read=read_letter,
            max_tokens=partial(at_most, LETTER_TOKENS),
            budget=budget,
        ),
        score_kind=_PAIRWISE_SCORES[sort],
    )


def pairwise_likelihood_reranker(
    backend: LabelBackend,
    *,
    sort: PairwiseSort = "heapsort",
    k: int = 10,
    question: PairwiseQuestion = "prp",
    budget: Budget | None = None,
) -> PlannedReranker[Pick]:
    """PRP's scoring mode: the more probable of ``Passage A`` and ``Passage B``, in both orders.

    The two share all but their last token, so that one alone decides. No answer is malformed.
    ``duo_t5`` is for the checkpoints of this name.
    """
    ask, primer, labels = _PAIRWISE_LABELS[question]
    return PlannedReranker(
        name=f"pairwise-likelihood-{question}-{sort}-{k}",
        plan=_pairwise_plan(sort, k),
        judge=LabelScorer(
            backend=backend,
            ask=ask,
            labels=labels,
            primer=primer,
            read=most_probable,
            per_passage=False,
            budget=budget,
        ),
        score_kind=_PAIRWISE_SCORES[sort],
    )


def _pairwise_plan(sort: PairwiseSort, k: int) -> KeyedPlan:
    plans: dict[PairwiseSort, Callable[[int], RankingPlan[Pick]]] = {
        "all_pairs": all_pairs,
        "heapsort": partial(pairwise_heapsort, k=k),
        "sliding": partial(pairwise_sliding, k=k),
    }
    return partial(unseeded, plans[sort])
