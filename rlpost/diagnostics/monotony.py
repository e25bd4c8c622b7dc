"""Warnings about what a run made of its model: one answer for everything, or worse than chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rankers.types import Run
from rlpost.tasks.base import HeldOut
from rlpost.tasks.held_out import BeforeAfter

LISTS = 20
"""Fewer say nothing."""
LENGTH = 3
"""Of a list at least: two passages leave only two orders."""
SAME_ORDER = 0.9
SAME_FIRST = 0.95
"""Shares of the lists that no model reaches which reads them."""


def warnings_of(
    after: Run, held_out: HeldOut, outcome: BeforeAfter, measures: Sequence[str]
) -> list[str]:
    """One sentence for each thing that is wrong with the rankings after training."""
    found = [alike(after, held_out.baselines.get(held_out.shown or ""))]
    chance, name = outcome.baselines.get(held_out.chance or ""), measures[0]
    if chance is not None and outcome.after[name] < chance[name]:
        found.append(
            f"{name} after training, {outcome.after[name]:.4f}, is below that of a random order, "
            f"{chance[name]:.4f}"
        )
    return [warning for warning in found if warning is not None]


def alike(run: Run, shown: Run | None) -> str | None:
    """A sentence where nearly all lists of ``run`` are one: as places of ``shown``, the order in
    which the model saw them, or else as the documents that they hold."""
    orders = list(_orders(run, shown).values())
    if len(orders) < LISTS:
        return None
    (order, count), (first, starts) = (
        Counter(seen).most_common(1)[0] for seen in (orders, [order[0] for order in orders])
    )
    what = "documents" if shown is None else "places"
    if count >= SAME_ORDER * len(orders):
        return (
            f"{count} of {len(orders)} held-out lists have the same order of {what}, "
            f"{' '.join(order)}: the model does not read what it is shown"
        )
    if starts >= SAME_FIRST * len(orders):
        return (
            f"{starts} of {len(orders)} held-out lists begin with the same of their {what}, "
            f"{first}: the model does not read what it is shown"
        )
    return None


def _orders(run: Run, shown: Run | None) -> Mapping[str, tuple[str, ...]]:
    """By query, what stands at each rank; lists without a choice left out."""
    orders = {}
    for query_id, docs in run.items():
        if len(docs) < LENGTH:
            continue
        ids = [doc.id for doc in docs]
        if shown is not None:
            places = {doc.id: str(i) for i, doc in enumerate(shown.get(query_id, ()), 1)}
            ids = [places.get(doc_id, "?") for doc_id in ids]
        orders[query_id] = tuple(ids)
    return orders
