"""Setwise plans (arXiv 2310.09497): one question picks the best of several candidates.

Both sorts follow ielab/llm-rankers b36517b, question by question, but do not crash where more
results are asked for than there are candidates, nor ask about a single one. Its bubblesort loses
candidates after a pass that changed nothing outside a cut window at the head (relevance
0, 4, 1, 2, 3 with three children gives 4, 2 as the best two); here the next pass starts lower, and
wherever upstream is right the questions are the same. Where an answer names nobody, and between
candidates that it holds equal, the first stage decides; upstream keeps the first candidate shown,
which in a heap that loses its root is the last of the list.
"""

from collections.abc import Generator, Sequence

from rankers.plans import Ask, Pick, Plan, Variant, settled, top_then_rest


def heapsort(
    n: int, *, num_children: int = 3, k: int = 10, variant: Variant = "paper"
) -> Plan[Pick]:
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


def bubblesort(
    n: int, *, num_children: int = 3, k: int = 10, variant: Variant = "paper"
) -> Plan[Pick]:
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
) -> Generator[list[Ask], Sequence[Pick], None]:
    while arity * parent + 1 < size:
        family = [parent, *range(arity * parent + 1, min(arity * (parent + 1) + 1, size))]
        largest = family[(yield from _best([heap[i] for i in family], variant))]
        if largest == parent:
            return
        heap[parent], heap[largest] = heap[largest], heap[parent]
        parent = largest


def _best(candidates: Sequence[int], variant: Variant) -> Generator[list[Ask], Sequence[Pick], int]:
    shown = tuple(candidates)
    [pick] = yield [shown]
    return settled(pick, shown, variant=variant)


def _check(num_children: int, k: int) -> None:
    if num_children < 1 or k < 1:
        raise ValueError(f"need num_children >= 1 and k >= 1, got {num_children} and {k}")
