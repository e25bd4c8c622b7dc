"""Listwise plans: one question orders a whole window; elimination removes the worst, one by one."""

from rankers.plans import Choice, Order, Plan, by_rank
from rankers.windows import sliding_windows


def sliding(n: int, *, window: int = 20, step: int = 10) -> Plan[Order]:
    """Order windows from the back to the front, each over what the previous ones left there.

    ``window >= n`` is full ranking in one question (arXiv 2412.14574). A single candidate needs
    no question.
    """
    ranking = list(range(n))
    for start, end in sliding_windows(n, window=window, step=step):
        if end - start < 2:
            continue
        shown = tuple(ranking[start:end])
        [order] = yield [shown]
        if order is None:
            continue
        if sorted(order) != list(range(len(shown))):
            raise ValueError(f"the answer to {len(shown)} candidates is no permutation: {order}")
        ranking[start:end] = [shown[position] for position in order]
    return by_rank(ranking)


def elimination(n: int) -> Plan[Choice]:
    """IRanker (arXiv 2506.21638): n-1 questions, each names the *least* relevant one remaining.

    The order is the reverse of removal. An unusable answer removes the one ranked last so far.
    """
    remaining = list(range(n))
    removed: list[int] = []
    while len(remaining) > 1:
        [choice] = yield [tuple(remaining)]
        usable = choice is not None and 0 <= choice < len(remaining)
        removed.append(remaining.pop(choice if choice is not None and usable else -1))
    return by_rank([*remaining, *reversed(removed)])
