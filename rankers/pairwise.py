"""Pairwise plans (PRP, arXiv 2306.17563): two candidates per question, always in both orders.

A candidate wins only where both orders agree; anything else is a tie: a conflict, an answer that
names nobody, a failure of the engine. Ties keep the relation of the first stage. Heapsort and
sliding follow ielab/llm-rankers b36517b comparison by comparison, but for heapsort's ties: there
the heap moves on wins alone, so that candidates without any win come out from the last to the
second.
"""

from collections.abc import Generator, Sequence

from rankers.plans import Ask, Pick, Plan, Variant, by_score, top_then_rest


def all_pairs(n: int) -> Plan[Pick]:
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


def heapsort(n: int, *, k: int = 10, variant: Variant = "paper") -> Plan[Pick]:
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


def sliding(n: int, *, k: int = 10) -> Plan[Pick]:
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
) -> Generator[list[Ask], Sequence[Pick], None]:
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


def _duel(one: int, other: int) -> Generator[list[Ask], Sequence[Pick], float]:
    forth, back = yield [(one, other), (other, one)]
    return _outcome(forth, back)


def _outcome(forth: Pick, back: Pick) -> float:
    """1 if the first candidate won in both orders, 0 if the second did, else 1/2."""
    return {(0, 1): 1.0, (1, 0): 0.0}.get((forth, back), 0.5)  # type: ignore[arg-type]


def _check(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
