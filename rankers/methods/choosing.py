"""Methods whose answer is one of the passages shown: setwise, pairwise, Rank-R1, IRanker."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from rankers import listwise, pairwise, setwise
from rankers.budget import Ask, Budget
from rankers.choices import (
    SETWISE_LABELS,
    duo_t5_messages,
    pairwise_messages,
    rank_r1_messages,
    read_letter,
    read_rank_r1,
    setwise_messages,
)
from rankers.elimination import iranker_messages, read_iranker
from rankers.judges import LabelJudge, TextJudge, most_probable
from rankers.plans import Choice, Pick, Plan, shuffled, unseeded
from rankers.ports import Backend, LabelBackend
from rankers.reranker import PlannedReranker, ScoreKind

SetwiseSort = Literal["heapsort", "bubblesort"]
PairwiseSort = Literal["all_pairs", "heapsort", "sliding"]
PairwiseQuestion = Literal["prp", "duo_t5"]
KeyedPlan = Callable[[int, str], Plan[Pick]]

_LETTER_TOKENS = 8


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
        judge=TextJudge(
            backend=backend,
            ask=setwise_messages,
            read=read_letter,
            max_tokens=partial(_at_most, _LETTER_TOKENS),
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
        judge=LabelJudge(
            backend=backend,
            ask=setwise_messages,
            labels=SETWISE_LABELS[: num_children + 1],
            primer="",
            read=most_probable,
            budget=budget,
        ),
    )


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
        judge=TextJudge(
            backend=backend,
            ask=pairwise_messages,
            read=read_letter,
            max_tokens=partial(_at_most, _LETTER_TOKENS),
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
        judge=LabelJudge(
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


def rank_r1_reranker(
    backend: Backend,
    *,
    version: Literal["0.1", "0.2"] = "0.1",
    num_children: int = 19,
    k: int = 10,
    votes: int = 1,
    seed: int = 0,
    max_tokens: int = 2048,
    budget: Budget | None = None,
) -> PlannedReranker[Choice]:
    """Setwise heapsort with reasoning; every question in seeded shuffles (arXiv 2503.06034)."""
    sort = partial(setwise.heapsort, num_children=num_children, k=k)
    return PlannedReranker(
        name=f"rank_r1-{version}-{num_children}-{k}-{votes}",
        plan=partial(_shuffled, sort, seed, votes),
        judge=TextJudge(
            backend=backend,
            ask=partial(rank_r1_messages, version=version),
            read=read_rank_r1,
            max_tokens=partial(_at_most, max_tokens),
            budget=budget,
        ),
    )


def iranker_reranker(
    backend: Backend, *, max_tokens: int = 1024, budget: Budget | None = None
) -> PlannedReranker[Choice]:
    """Elimination of the least relevant passage, one by one, with reasoning (arXiv 2506.21638)."""
    return PlannedReranker(
        name="iranker",
        plan=partial(unseeded, listwise.elimination),
        judge=TextJudge(
            backend=backend,
            ask=iranker_messages,
            read=read_iranker,
            max_tokens=partial(_at_most, max_tokens),
            budget=budget,
        ),
    )


_PAIRWISE_LABELS: dict[PairwiseQuestion, tuple[Ask, str, tuple[str, str]]] = {
    "prp": (pairwise_messages, "Passage", (" A", " B")),
    "duo_t5": (duo_t5_messages, "", ("true", "false")),
}
"""Question, what opens the answer, and the labels that say first and second."""

_PAIRWISE_SCORES: dict[PairwiseSort, ScoreKind] = {
    "all_pairs": "wins",
    "heapsort": "rank",
    "sliding": "rank",
}


def _pairwise_plan(sort: PairwiseSort, k: int) -> KeyedPlan:
    plans: dict[PairwiseSort, Callable[[int], Plan[Pick]]] = {
        "all_pairs": pairwise.all_pairs,
        "heapsort": partial(pairwise.heapsort, k=k),
        "sliding": partial(pairwise.sliding, k=k),
    }
    return partial(unseeded, plans[sort])


def _setwise_plan(sort: SetwiseSort, num_children: int, k: int) -> KeyedPlan:
    if num_children >= len(SETWISE_LABELS):
        raise ValueError(f"num_children must be < {len(SETWISE_LABELS)}, got {num_children}")
    plan = {"heapsort": setwise.heapsort, "bubblesort": setwise.bubblesort}[sort]
    return partial(unseeded, partial(plan, num_children=num_children, k=k))


def _shuffled(
    sort: Callable[[int], Plan[Pick]], seed: int, votes: int, n: int, key: str
) -> Plan[Pick]:
    return shuffled(sort(n), key=f"{seed}/{key}", votes=votes)


def _at_most(max_tokens: int, shown: int) -> int:
    return max_tokens
