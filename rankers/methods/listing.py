"""Methods whose answer is an order of all passages shown: listwise, full ranking, FIRST."""

from functools import partial

from rankers import listwise
from rankers.budget import Budget
from rankers.judges import LabelJudge, TextJudge, by_logprob
from rankers.parsing import Reading, parse_permutation
from rankers.plans import Order, Plan, unseeded
from rankers.ports import Backend, LabelBackend
from rankers.prompts import (
    FIRST_LABELS,
    LETTERS,
    FirstTemplate,
    Template,
    first_messages,
    listwise_messages,
)
from rankers.reranker import PlannedReranker


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
        plan=partial(unseeded, partial(listwise.sliding, window=window, step=step)),
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


def first_reranker(
    backend: LabelBackend,
    *,
    window: int = 20,
    step: int = 10,
    template: FirstTemplate = "rank_zephyr",
    budget: Budget | None = None,
) -> PlannedReranker[Order]:
    """FIRST (arXiv 2406.15657): a window's order is that of its labels' first-token log-probs.

    Raises ValueError for a window larger than the alphabet; longer lists go through windows.
    """
    if window > len(LETTERS):
        raise ValueError(f"window must be <= {len(LETTERS)}, one letter each, got {window}")
    labels = FIRST_LABELS[template]
    return PlannedReranker(
        name=f"first-{window}-{step}",
        plan=partial(unseeded, partial(listwise.sliding, window=window, step=step)),
        judge=LabelJudge(
            backend=backend,
            ask=partial(first_messages, template=template),
            labels=labels.tokens[:window],
            primer=labels.before,
            read=by_logprob,
            budget=budget,
        ),
    )


def _permutation_judge(
    backend: Backend, template: Template, budget: Budget | None
) -> TextJudge[Order]:
    return TextJudge(
        backend=backend,
        ask=partial(listwise_messages, template=template),
        read=_read_order,
        max_tokens=_permutation_tokens,
        budget=budget,
    )


def _one_window(n: int) -> Plan[Order]:
    return listwise.sliding(n, window=max(n, 1), step=1)


def _permutation_tokens(shown: int) -> int:
    return 8 * shown + 8  # "[100] > " is at most 7 tokens


def _read_order(text: str, n: int) -> Reading[Order]:
    parsed = parse_permutation(text, n)
    return Reading(answer=parsed.order, rule=parsed.rule, malformed=parsed.malformed)
