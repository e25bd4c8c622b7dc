"""Listwise reranking (arXiv 2304.09542): sliding windows, each ordered by one answer."""

from __future__ import annotations

from functools import partial

from rankers.prompting.budget import Budget
from rankers.prompting.parsing import ParsedAnswer, parse_permutation
from rankers.prompting.templates import Template, listwise_messages
from rankers.reranker.judges import TextScorer
from rankers.reranker.plans import Order, RankingPlan, by_rank, unseeded
from rankers.reranker.protocols import Backend
from rankers.reranker.reranker import PlannedReranker


def sliding_windows(n: int, *, window: int = 20, step: int = 10) -> list[tuple[int, int]]:
    """Half-open ranges over ``n`` candidates, from the back to the front.

    The first range ends at ``n``, each next one lies ``step`` nearer to the front, and the last
    one starts at 0; fewer candidates than ``window`` give one range, none give none. The best
    ``window - step`` of one range are seen again in the next.

    Raises ValueError unless 1 <= step <= window.
    """
    if not 1 <= step <= window:
        raise ValueError(f"need 1 <= step <= window, got step {step}, window {window}")
    ranges: list[tuple[int, int]] = []
    end = n
    while end > 0:
        start = max(0, end - window)
        ranges.append((start, end))
        if start == 0:
            break
        end -= step
    return ranges


def sliding_window_plan(n: int, *, window: int = 20, step: int = 10) -> RankingPlan[Order]:
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


def listwise_reranker(
    backend: Backend,
    *,
    window: int = 20,
    step: int = 10,
    template: Template = "rank_zephyr",
    budget: Budget | None = None,
) -> PlannedReranker[Order]:
    """Sliding windows, each ordered by one generated permutation (arXiv 2304.09542)."""
    return PlannedReranker(
        name=f"listwise-{template}-{window}-{step}",
        plan=partial(unseeded, partial(sliding_window_plan, window=window, step=step)),
        judge=_permutation_judge(backend, template, budget),
    )


def full_ranking_reranker(
    backend: Backend, *, template: Template = "rank_zephyr", budget: Budget | None = None
) -> PlannedReranker[Order]:
    """All candidates in one prompt and one answer (arXiv 2412.14574).

    A list that does not fit the model is refused: by ``budget`` with DataError where passages would
    have to be cut below its minimum, else by the backend.
    """
    return PlannedReranker(
        name=f"full-{template}",
        plan=partial(unseeded, _one_window),
        judge=_permutation_judge(backend, template, budget),
    )


def _permutation_judge(
    backend: Backend, template: Template, budget: Budget | None
) -> TextScorer[Order]:
    return TextScorer(
        backend=backend,
        ask=partial(listwise_messages, template=template),
        read=_read_order,
        max_tokens=_permutation_tokens,
        budget=budget,
    )


def _one_window(n: int) -> RankingPlan[Order]:
    return sliding_window_plan(n, window=max(n, 1), step=1)


def _permutation_tokens(shown: int) -> int:
    return 8 * shown + 8  # "[100] > " is at most 7 tokens


def _read_order(text: str, n: int) -> ParsedAnswer[Order]:
    parsed = parse_permutation(text, n)
    return ParsedAnswer(answer=parsed.order, rule=parsed.rule, malformed=parsed.malformed)
