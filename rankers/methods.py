"""The published ranking methods, each put together from a plan, a question and a reader."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from rankers import listwise, pairwise, setwise
from rankers.choices import (
    SETWISE_LABELS,
    pairwise_messages,
    rank_r1_messages,
    read_letter,
    read_rank_r1,
    setwise_messages,
)
from rankers.judges import LabelJudge, TextJudge, by_logprob, most_probable
from rankers.parsing import Reading, parse_permutation
from rankers.plans import Choice, Order, Plan, shuffled
from rankers.ports import Backend, LabelBackend
from rankers.prompts import LETTERS, Template, first_messages, listwise_messages
from rankers.reranker import Reranker

SetwiseSort = Literal["heapsort", "bubblesort"]
PairwiseSort = Literal["all_pairs", "heapsort", "sliding"]


def listwise_reranker(
    backend: Backend, *, window: int = 20, step: int = 10, template: Template = "rank_zephyr"
) -> Reranker[Order]:
    """Sliding windows, each ordered by one generated permutation (arXiv 2304.09542)."""
    return Reranker(
        name=f"listwise-{template}-{window}-{step}",
        plan=lambda n, _: listwise.sliding(n, window=window, step=step),
        judge=TextJudge(
            backend=backend,
            ask=partial(listwise_messages, template=template),
            read=_read_order,
            max_tokens=lambda shown: 8 * shown + 8,  # "[100] > " is at most 7 tokens
        ),
    )


def first_reranker(backend: LabelBackend, *, window: int = 20, step: int = 10) -> Reranker[Order]:
    """FIRST (arXiv 2406.15657): a window's order is that of its labels' first-token log-probs.

    Raises ValueError for a window larger than the alphabet.
    """
    if window > len(LETTERS):
        raise ValueError(f"window must be <= {len(LETTERS)}, one letter each, got {window}")
    return Reranker(
        name=f"first-{window}-{step}",
        plan=lambda n, _: listwise.sliding(n, window=window, step=step),
        judge=LabelJudge(
            backend=backend,
            ask=first_messages,
            labels=LETTERS[:window],
            primer="[",
            read=by_logprob,
        ),
    )


def setwise_reranker(
    backend: Backend, *, sort: SetwiseSort = "heapsort", num_children: int = 3, k: int = 10
) -> Reranker[Choice]:
    """The ``k`` best by questions that pick one of ``num_children + 1`` (arXiv 2310.09497)."""
    return Reranker(
        name=f"setwise-{sort}-{num_children}-{k}",
        plan=_setwise_plan(sort, num_children, k),
        judge=TextJudge(
            backend=backend, ask=setwise_messages, read=read_letter, max_tokens=lambda _: 8
        ),
    )


def setwise_likelihood_reranker(
    backend: LabelBackend, *, sort: SetwiseSort = "heapsort", num_children: int = 3, k: int = 10
) -> Reranker[Choice]:
    """Setwise with the most probable label in place of a generated one."""
    return Reranker(
        name=f"setwise-likelihood-{sort}-{num_children}-{k}",
        plan=_setwise_plan(sort, num_children, k),
        judge=LabelJudge(
            backend=backend,
            ask=setwise_messages,
            labels=SETWISE_LABELS[: num_children + 1],
            primer="",
            read=most_probable,
        ),
    )


def pairwise_reranker(
    backend: Backend, *, sort: PairwiseSort = "heapsort", k: int = 10
) -> Reranker[Choice]:
    """Duels in both orders, a conflict being a tie (PRP, arXiv 2306.17563)."""
    plans: dict[PairwiseSort, Callable[[int], Plan[Choice]]] = {
        "all_pairs": pairwise.all_pairs,
        "heapsort": partial(pairwise.heapsort, k=k),
        "sliding": partial(pairwise.sliding, k=k),
    }
    return Reranker(
        name=f"pairwise-{sort}-{k}",
        plan=lambda n, _: plans[sort](n),
        judge=TextJudge(
            backend=backend, ask=pairwise_messages, read=read_letter, max_tokens=lambda _: 8
        ),
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
) -> Reranker[Choice]:
    """Setwise heapsort with reasoning; every question in seeded shuffles (arXiv 2503.06034)."""
    return Reranker(
        name=f"rank_r1-{version}-{num_children}-{k}-{votes}",
        plan=lambda n, key: shuffled(
            setwise.heapsort(n, num_children=num_children, k=k), key=f"{seed}/{key}", votes=votes
        ),
        judge=TextJudge(
            backend=backend,
            ask=partial(rank_r1_messages, version=version),
            read=read_rank_r1,
            max_tokens=lambda _: max_tokens,
        ),
    )


def _setwise_plan(
    sort: SetwiseSort, num_children: int, k: int
) -> Callable[[int, str], Plan[Choice]]:
    if num_children >= len(SETWISE_LABELS):
        raise ValueError(f"num_children must be < {len(SETWISE_LABELS)}, got {num_children}")
    plan = {"heapsort": setwise.heapsort, "bubblesort": setwise.bubblesort}[sort]
    return lambda n, _: plan(n, num_children=num_children, k=k)


def _read_order(text: str, n: int) -> Reading[Order]:
    parsed = parse_permutation(text, n)
    return Reading(answer=parsed.order, rule=parsed.rule, malformed=parsed.malformed)
