"""The ranking methods: each is a plan, the text of its questions, and the reader of its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, Protocol

from rankers import listwise, pairwise, setwise
from rankers.choices import (
    LETTERS,
    pairwise_messages,
    rank_r1_messages,
    read_letter,
    read_rank_r1,
    setwise_messages,
)
from rankers.parsing import Malformed, Rule, parse_permutation
from rankers.plans import A, Choice, Order, Plan, shuffled
from rankers.prompts import Message, Template, listwise_messages

SetwiseSort = Literal["heapsort", "bubblesort"]
PairwiseSort = Literal["all_pairs", "heapsort", "sliding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[A]):
    """One answer, read: what the plan is told, and how well-formed it was."""

    answer: A
    rule: Rule
    malformed: Malformed


class _Ask(Protocol):
    def __call__(self, query: str, passages: Sequence[str]) -> list[Message]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[A]):
    """A way to rank. Immutable and without a model: one method serves any number of queries."""

    name: str
    plan: Callable[[int, str], Plan[A]]
    """(number of candidates, key of the query for seeded choices) -> a fresh plan."""
    ask: _Ask
    read: Callable[[str, int], Reading[A]]
    """(answer, number of passages shown) -> reading; never raises."""
    max_tokens: Callable[[int], int]
    """Number of passages shown -> tokens an answer may take."""


def listwise_method(
    *, window: int = 20, step: int = 10, template: Template = "rank_zephyr"
) -> Method[Order]:
    """Sliding windows, each ordered by one generated permutation (arXiv 2304.09542)."""
    return Method(
        name=f"listwise-{template}-{window}-{step}",
        plan=lambda n, key: listwise.sliding(n, window=window, step=step),
        ask=partial(listwise_messages, template=template),
        read=_read_order,
        max_tokens=lambda shown: 8 * shown + 8,  # "[100] > " is at most 6 tokens
    )


def setwise_method(
    *, sort: SetwiseSort = "heapsort", num_children: int = 3, k: int = 10
) -> Method[Choice]:
    """The ``k`` best by questions that pick one of ``num_children + 1`` (arXiv 2310.09497)."""
    if num_children >= len(LETTERS):
        raise ValueError(f"num_children must be < {len(LETTERS)}, got {num_children}")
    plan = {"heapsort": setwise.heapsort, "bubblesort": setwise.bubblesort}[sort]
    return Method(
        name=f"setwise-{sort}-{num_children}-{k}",
        plan=lambda n, key: plan(n, num_children=num_children, k=k),
        ask=setwise_messages,
        read=_read_letter,
        max_tokens=lambda shown: 8,
    )


def pairwise_method(*, sort: PairwiseSort = "heapsort", k: int = 10) -> Method[Choice]:
    """Duels in both orders, a conflict being a tie (PRP, arXiv 2306.17563)."""
    plans: dict[PairwiseSort, Callable[[int], Plan[Choice]]] = {
        "all_pairs": pairwise.all_pairs,
        "heapsort": partial(pairwise.heapsort, k=k),
        "sliding": partial(pairwise.sliding, k=k),
    }
    return Method(
        name=f"pairwise-{sort}-{k}",
        plan=lambda n, key: plans[sort](n),
        ask=pairwise_messages,
        read=_read_letter,
        max_tokens=lambda shown: 8,
    )


def rank_r1_method(
    *,
    version: Literal["0.1", "0.2"] = "0.1",
    num_children: int = 19,
    k: int = 10,
    votes: int = 1,
    seed: int = 0,
    max_tokens: int = 2048,
) -> Method[Choice]:
    """Setwise heapsort with reasoning; every question in seeded shuffles (arXiv 2503.06034)."""
    return Method(
        name=f"rank_r1-{version}-{num_children}-{k}-{votes}",
        plan=lambda n, key: shuffled(
            setwise.heapsort(n, num_children=num_children, k=k), key=f"{seed}/{key}", votes=votes
        ),
        ask=partial(rank_r1_messages, version=version),
        read=_read_rank_r1,
        max_tokens=lambda shown: max_tokens,
    )


def _read_order(text: str, n: int) -> Reading[Order]:
    parsed = parse_permutation(text, n)
    return Reading(answer=parsed.order, rule=parsed.rule, malformed=parsed.malformed)


def _read_letter(text: str, n: int) -> Reading[Choice]:
    chosen = read_letter(text, n)
    return Reading(answer=chosen.choice, rule=chosen.rule, malformed=chosen.malformed)


def _read_rank_r1(text: str, n: int) -> Reading[Choice]:
    chosen = read_rank_r1(text, n)
    return Reading(answer=chosen.choice, rule=chosen.rule, malformed=chosen.malformed)
