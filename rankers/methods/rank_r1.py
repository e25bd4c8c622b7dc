"""Rank-R1 (arXiv 2503.06034): setwise selection with reasoning; prompt, parser, reward."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from rankers.methods.setwise import chosen, setwise_heapsort
from rankers.prompting.budget import Budget
from rankers.prompting.parsing import ParsedAnswer, after_reasoning, answer_tags
from rankers.prompting.sanitize import neutralise_fields
from rankers.prompting.templates import ChatMessage, user_chat
from rankers.prompting.verdicts import verdict
from rankers.reranker.judges import TextScorer
from rankers.reranker.plans import Choice, Pick, RankingPlan, at_most, shuffled
from rankers.reranker.protocols import Backend
from rankers.reranker.reranker import PlannedReranker

_R1_TURN = re.compile(r"</think>\s*<answer>")

_R1_SYSTEM = {
    "0.1": (
        "A conversation between User and Assistant. The user asks a question, and the Assistant "
        "solves it. The assistant first thinks about the reasoning process in the mind and then "
        "provides the user with the answer. The reasoning process and answer are enclosed within "
        "<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning "
        "process here </think> <answer> answer here </answer>."
    ),
    "0.2": (
        "You are RankLLM, an intelligent assistant capable of evaluating the relevancy of "
        "passages to a given query."
    ),
}

_R1_USER = {
    "0.1": (
        'Given the query: "{query}", which of the following documents is most relevant?\n'
        "{docs}\n"
        "After completing the reasoning process, please provide only the label of the most "
        "relevant document to the query, enclosed in square brackets, within the answer tags. For "
        "example, if the third document is the most relevant, the answer should be: <think> "
        "reasoning process here </think> <answer>[3]</answer>."
    ),
    "0.2": (
        "You will be presented with a query, and a set of documents.\n\n"
        "Your task consists of the following step:\n\n"
        "1. Analyze the query: Carefully read the query and identify the core problem or question "
        "being asked.\n\n"
        "2. Analyze the documents: Thoroughly examine each document and briefly explain how each "
        "document is relevant or not relevant to the query.\n\n"
        "3. Find the most relevant document: Based on your analysis, select the most relevant "
        "document to the query from the set and briefly explain why.\n\n"
        "Important: Provide your analysis within the <think> </think> tags and answer only the "
        "label of the most relevant document, enclosed in square brackets, within the <answer> "
        "</answer> tags. For example, if the third document is the most relevant, your response "
        "should be:\n<think> Your analysis here </think>\n<answer>[3]</answer>\n\n"
        "Here is the query: {query}\n\nHere are the documents:\n{docs}"
    ),
}


def rank_r1_messages(
    query: str, passages: Sequence[str], *, version: Literal["0.1", "0.2"] = "0.1"
) -> list[ChatMessage]:
    """Rank-R1's question (arXiv 2503.06034) as released in v0.1 or v0.2."""
    prefix, separator = {"0.1": ("[{}] ", "\n"), "0.2": ("[{}]: ", "\n\n")}[version]
    docs = separator.join(
        prefix.format(i) + neutralise_fields(passage) for i, passage in enumerate(passages, 1)
    )
    # Not str.format twice: braces in a passage are text.
    user = _R1_USER[version].replace("{query}", neutralise_fields(query), 1)
    head, tail = user.rsplit("{docs}", 1)
    return [{"role": "system", "content": _R1_SYSTEM[version]}, *user_chat(head + docs + tail)]


def read_rank_r1(text: str, n: int) -> ParsedAnswer[Choice]:
    """Which of ``n`` numbered passages the answer names; never raises.

    Strict rule: Rank-R1's own, case does not matter, the answer is exactly one label ``[i]``. Loose
    rule: the label that the last answer tags decide for, closed or not, and without any what stands
    behind the reasoning; see ``rankers.prompting.verdicts.verdict``. Reasoning that never closes
    holds none.
    """
    label = re.fullmatch(r"\[([0-9]{1,9})\]", _r1_answer(text.lower()) or "")
    if label:
        return chosen(int(label[1]), n, "strict")
    answer = after_reasoning(text) or ""
    return chosen(verdict(answer_tags(answer) or answer, "numbers"), n, "loose")


def rank_r1_reward(text: str, truth: int, *, opened: str = "") -> float:
    """1 if the first think-answer pair holds exactly ``[truth]`` (from 1), else 0.

    Format and correctness are one; unlike at inference, tags in capitals do not count. ``opened``
    is what the prompt holds of the answer: ``<think>`` where the chat template opens the reasoning
    (the engines put it in front of their texts, so that it must not be given with these).
    """
    return float(_r1_answer(opened + text) == f"[{truth}]")


def _r1_answer(text: str) -> str | None:
    """The first match of ``<think>.*?</think>\\s*<answer>(.*?)</answer>``, in linear time."""
    start = text.find("<think>")
    turn = _R1_TURN.search(text, start) if start >= 0 else None
    end = text.find("</answer>", turn.end()) if turn else -1
    return text[turn.end() : end].strip() if turn and end >= 0 else None


def rank_r1_reranker(
    backend: Backend,
    *,
    version: Literal["0.1", "0.2"] = "0.1",
    num_children: int = 19,
    k: int = 10,
    votes: int = 1,
    seed: int = 0,
    max_tokens: int = 2048,
    budget: Budget | None = None,
) -> PlannedReranker[Choice]:
    """Setwise heapsort with reasoning; every question in seeded shuffles (arXiv 2503.06034)."""
    sort = partial(setwise_heapsort, num_children=num_children, k=k)
    return PlannedReranker(
        name=f"rank_r1-{version}-{num_children}-{k}-{votes}",
        plan=partial(_shuffled, sort, seed, votes),
        judge=TextScorer(
            backend=backend,
            ask=partial(rank_r1_messages, version=version),
            read=read_rank_r1,
            max_tokens=partial(at_most, max_tokens),
            budget=budget,
        ),
    )


def _shuffled(
    sort: Callable[[int], RankingPlan[Pick]], seed: int, votes: int, n: int, key: str
) -> RankingPlan[Pick]:
    return shuffled(sort(n), key=f"{seed}/{key}", votes=votes)
