"""Methods that score every passage by itself with a language model."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rankers.budget import Budget
from rankers.errors import BackendError
from rankers.judges import LabelJudge, Question, Reply, certain, prompts_of
from rankers.plans import unseeded
from rankers.ports import LabelBackend, LikelihoodBackend
from rankers.prompts import Message, one_line
from rankers.relevance import RELEVANCE, RelevanceName, query_likelihood_messages
from rankers.reranker import PlannedReranker
from rankers.scoring import pointwise


def pointwise_reranker(
    backend: LabelBackend, *, question: RelevanceName = "yes_no", budget: Budget | None = None
) -> PlannedReranker[float]:
    """Every passage alone: how much more probable its yes is than its no, as the first token.

    ``mono_t5`` and ``qwen3_reranker`` are for the checkpoints of these names.
    """
    asked = RELEVANCE[question]
    return PlannedReranker(
        name=f"pointwise-{question}",
        plan=partial(unseeded, pointwise),
        judge=LabelJudge(
            backend=backend,
            ask=asked.messages,
            labels=asked.labels,
            primer=asked.primer,
            read=_READERS[asked.score_kind],
            per_passage=False,
            budget=budget,
        ),
        score_kind=asked.score_kind,
    )


def query_likelihood_reranker(
    backend: LikelihoodBackend, *, budget: Budget | None = None
) -> PlannedReranker[float]:
    """Mean log-probability of the query's tokens, given the passage (arXiv 2204.07496)."""
    return PlannedReranker(
        name="query_likelihood",
        plan=partial(unseeded, pointwise),
        judge=QueryLikelihoodJudge(backend=backend, budget=budget),
        score_kind="log_likelihood",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLikelihoodJudge:
    """How well the passage predicts the query, which the model reads as its own answer."""

    backend: LikelihoodBackend
    budget: Budget | None = None

    def __call__(self, questions: Sequence[Question]) -> list[Reply[float] | BackendError]:
        prompts = prompts_of(questions, _about_passage, self.budget)
        found = self.backend.likelihoods(
            [prompt.chat for prompt in prompts],
            answers=[one_line(question.query) for question in questions],
        )
        return [
            likelihood
            if isinstance(likelihood, BackendError)
            else Reply(
                reading=certain(math.fsum(likelihood.logprobs_T) / len(likelihood.logprobs_T)),
                prompt_tokens=likelihood.prompt_tokens + len(likelihood.logprobs_T),
                truncated=prompt.truncated,
            )
            for prompt, likelihood in zip(prompts, found, strict=True)
        ]


def _about_passage(query: str, passages: Sequence[str]) -> list[Message]:
    [passage] = passages
    return query_likelihood_messages(passage)


def _log_odds(logprobs: Sequence[float]) -> float:
    yes, no = logprobs
    return yes - no


def _probability(logprobs: Sequence[float]) -> float:
    yes, no = logprobs
    return (1 + math.tanh((yes - no) / 2)) / 2  # the logistic function, without overflow


_READERS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "log_odds": _log_odds,
    "probability": _probability,
}
