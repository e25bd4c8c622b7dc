"""Pointwise reranking: every passage scored by itself with a language model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from rankers.errors import BackendError
from rankers.prompting.budget import Budget
from rankers.prompting.sanitize import neutralise_fields, one_line
from rankers.prompting.templates import ChatMessage
from rankers.reranker.judges import LabelScorer, RankingPrompt, Reply, exact, prompts_of
from rankers.reranker.plans import PlanResult, RankingPlan, by_score, unseeded
from rankers.reranker.protocols import LabelBackend, LikelihoodBackend
from rankers.reranker.reranker import PlannedReranker

RelevanceName = Literal["yes_no", "mono_t5", "qwen3_reranker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevanceQuestion:
    """How a model is asked about one passage, and where it puts its yes and its no."""

    labels: tuple[str, str]
    """The label that means relevant, then its opposite; one token each after ``primer``."""
    user: str
    """The user's turn, with ``{query}`` and ``{passage}``."""
    system: str = ""
    primer: str = ""
    score_kind: Literal["log_odds", "probability"]
    """Of the first label against the second; both give the same order."""

    def messages(self, query: str, passages: Sequence[str]) -> list[ChatMessage]:
        """The chat about exactly one passage."""
        [passage] = passages
        turns = [("system", self.system)] if self.system else []
        content = _filled(self.user, query=query, passage=passage)
        return [{"role": role, "content": text} for role, text in [*turns, ("user", content)]]


QWEN3_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

RELEVANCE: Mapping[RelevanceName, RelevanceQuestion] = {
    "yes_no": RelevanceQuestion(  # ielab/llm-rankers b36517b
        user=(
            "Passage: {passage}\nQuery: {query}\n"
            "Does the passage answer the query? Answer 'Yes' or 'No'"
        ),
        labels=("Yes", "No"),
        score_kind="log_odds",
    ),
    "mono_t5": RelevanceQuestion(  # arXiv 2003.06713, for its encoder-decoder checkpoints
        user="Query: {query} Document: {passage} Relevant:",
        labels=("true", "false"),
        score_kind="probability",
    ),
    "qwen3_reranker": RelevanceQuestion(  # arXiv 2506.05176, model card
        system=(
            "Judge whether the Document meets the requirements based on the Query and the "
            'Instruct provided. Note that the answer can only be "yes" or "no".'
        ),
        user=f"<Instruct>: {QWEN3_INSTRUCTION}\n<Query>: {{query}}\n<Document>: {{passage}}",
        primer="<think>\n\n</think>\n\n",
        labels=("yes", "no"),
        score_kind="probability",
    ),
}


def query_likelihood_messages(passage: str) -> list[ChatMessage]:
    """The chat whose answer, if the passage is relevant, is the query (arXiv 2204.07496).

    Wording of ielab/llm-rankers b36517b.
    """
    template = "Passage: {passage}\nPlease write a question based on this passage."
    return [{"role": "user", "content": _filled(template, passage=passage)}]


def _filled(template: str, **parts: str) -> str:
    # Not str.format, and in one pass: braces and placeholders in a passage are text.
    return re.sub(r"\{(\w+)\}", lambda slot: neutralise_fields(parts[slot[1]]), template)


def pointwise(n: int) -> RankingPlan[float]:
    """One question per candidate, all in one batch: the model sees nothing else beside it.

    A single candidate is asked about too: its score says more than its rank. Where the engine
    fails on any candidate, the input order stays and there are no scores.
    """
    scores = (yield [(i,) for i in range(n)]) if n else []
    known = [score for score in scores if score is not None]
    return by_score(known, range(n)) if len(known) == n else PlanResult(tuple(range(n)), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLikelihoodScorer:
    """How well the passage predicts the query, which the model reads as its own answer."""

    backend: LikelihoodBackend
    budget: Budget | None = None

    def __call__(self, questions: Sequence[RankingPrompt]) -> list[Reply[float] | BackendError]:
        prompts = prompts_of(questions, _about_passage, self.budget)
        found = self.backend.likelihoods(
            [prompt.chat for prompt in prompts],
            answers=[one_line(question.query) for question in questions],
        )
        return [
            likelihood
            if isinstance(likelihood, BackendError)
            else Reply(
                reading=exact(math.fsum(likelihood.logprobs_T) / len(likelihood.logprobs_T)),
                prompt_tokens=likelihood.prompt_tokens + len(likelihood.logprobs_T),
                truncated=prompt.truncated,
            )
            for prompt, likelihood in zip(prompts, found, strict=True)
        ]


def _about_passage(query: str, passages: Sequence[str]) -> list[ChatMessage]:
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
        judge=LabelScorer(
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
        judge=QueryLikelihoodScorer(backend=backend, budget=budget),
        score_kind="log_likelihood",
    )
