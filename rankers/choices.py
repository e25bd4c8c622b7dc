"""Questions whose answer is one of the passages shown: published prompts, and their readers."""

import re
from collections.abc import Sequence
from typing import Literal

from rankers.parsing import Reading, Rule, after_reasoning, answer_tags
from rankers.plans import Choice
from rankers.prompts import LETTERS, Message, neutralise_fields
from rankers.verdicts import verdict

SETWISE_LABELS = LETTERS[:23]
"""Labels of setwise prompts; more passages than letters do not fit into one question."""

_LABEL = re.compile(r"(?:passage\s+)?\[?([A-W])\]?\.?", re.IGNORECASE)
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


def setwise_messages(query: str, passages: Sequence[str]) -> list[Message]:
    """The setwise question of arXiv 2310.09497. Raises ValueError beyond 23 passages."""
    if len(passages) > len(SETWISE_LABELS):
        raise ValueError(
            f"{len(passages)} passages, but a setwise question has {len(SETWISE_LABELS)}"
        )
    listed = "\n\n".join(
        f'Passage {letter}: "{neutralise_fields(passage)}"'
        for letter, passage in zip(SETWISE_LABELS, passages, strict=False)
    )
    return _user(
        f'Given a query "{neutralise_fields(query)}", which of the following passages is the most '
        f"relevant one to the query?\n\n{listed}\n\n"
        "Output only the passage label of the most relevant passage:"
    )


def pairwise_messages(query: str, passages: Sequence[str]) -> list[Message]:
    """The pairwise question of PRP, arXiv 2306.17563, for exactly two passages."""
    first, second = map(neutralise_fields, passages)
    return _user(
        f'Given a query "{neutralise_fields(query)}", which of the following two passages is more '
        f'relevant to the query?\n\nPassage A: "{first}"\n\n'
        f'Passage B: "{second}"\n\nOutput Passage A or Passage B:'
    )


def duo_t5_messages(query: str, passages: Sequence[str]) -> list[Message]:
    """duoT5's question (arXiv 2101.05667) for exactly two passages: is the first one better?"""
    first, second = map(neutralise_fields, passages)
    return _user(
        f"Query: {neutralise_fields(query)} Document0: {first} Document1: {second} Relevant:"
    )


def read_letter(text: str, n: int) -> Reading[Choice]:
    """Which of ``n`` lettered passages ``text`` names; never raises.

    Strict rule: the whole answer is one label (``B``, ``[B]``, ``Passage B.``). Loose rule: the
    label that it decides for, see ``rankers.verdicts.verdict``.
    """
    answer = (after_reasoning(text) or "").strip()
    whole = _LABEL.fullmatch(answer)
    if whole:
        return _chosen(SETWISE_LABELS.index(whole[1].upper()) + 1, n, "strict")
    return _chosen(verdict(answer_tags(answer) or answer, "letters"), n, "loose")


def rank_r1_messages(
    query: str, passages: Sequence[str], *, version: Literal["0.1", "0.2"] = "0.1"
) -> list[Message]:
    """Rank-R1's question (arXiv 2503.06034) as released in v0.1 or v0.2."""
    prefix, separator = {"0.1": ("[{}] ", "\n"), "0.2": ("[{}]: ", "\n\n")}[version]
    docs = separator.join(
        prefix.format(i) + neutralise_fields(passage) for i, passage in enumerate(passages, 1)
    )
    # Not str.format twice: braces in a passage are text.
    user = _R1_USER[version].replace("{query}", neutralise_fields(query), 1)
    head, tail = user.rsplit("{docs}", 1)
    return [{"role": "system", "content": _R1_SYSTEM[version]}, *_user(head + docs + tail)]


def read_rank_r1(text: str, n: int) -> Reading[Choice]:
    """Which of ``n`` numbered passages the answer names; never raises.

    Strict rule: Rank-R1's own, case does not matter, the answer is exactly one label ``[i]``. Loose
    rule: the label that the last answer tags decide for, closed or not, and without any what stands
    behind the reasoning; see ``rankers.verdicts.verdict``. Reasoning that never closes holds none.
    """
    label = re.fullmatch(r"\[([0-9]{1,9})\]", _r1_answer(text.lower()) or "")
    if label:
        return _chosen(int(label[1]), n, "strict")
    answer = after_reasoning(text) or ""
    return _chosen(verdict(answer_tags(answer) or answer, "numbers"), n, "loose")


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


def _chosen(label: int | None, n: int, rule: Rule) -> Reading[Choice]:
    """The reading of a label, counted from 1; none where no passage bears it."""
    if label is None or not 1 <= label <= n:
        return Reading(answer=None, rule="none", malformed="wrong_format")
    return Reading(
        answer=label - 1, rule=rule, malformed="ok" if rule == "strict" else "wrong_format"
    )


def _user(content: str) -> list[Message]:
    return [{"role": "user", "content": content}]
