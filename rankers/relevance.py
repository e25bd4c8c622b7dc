"""Questions about one passage alone: is it relevant, or how well does it explain the query?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rankers.prompts import Message, neutralise_fields

RelevanceName = Literal["yes_no", "mono_t5", "qwen3_reranker"]
QWEN3_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


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

    def messages(self, query: str, passages: Sequence[str]) -> list[Message]:
        """The chat about exactly one passage."""
        [passage] = passages
        turns = [("system", self.system)] if self.system else []
        content = _filled(self.user, query=query, passage=passage)
        return [{"role": role, "content": text} for role, text in [*turns, ("user", content)]]


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


def query_likelihood_messages(passage: str) -> list[Message]:
    """The chat whose answer, if the passage is relevant, is the query (arXiv 2204.07496).

    Wording of ielab/llm-rankers b36517b.
    """
    template = "Passage: {passage}\nPlease write a question based on this passage."
    return [{"role": "user", "content": _filled(template, passage=passage)}]


def _filled(template: str, **parts: str) -> str:
    # Not str.format, and in one pass: braces and placeholders in a passage are text.
    return re.sub(r"\{(\w+)\}", lambda slot: neutralise_fields(parts[slot[1]]), template)
