"""Listwise prompt templates: the texts shown to a listwise ranker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from rankers.prompting.prefix import beginning
from rankers.prompting.sanitize import neutralise_fields as neutralise_fields

ChatMessage = dict[str, str]
"""One chat turn: ``{"role": ..., "content": ...}``, the shape chat templates take."""

Template = Literal["compact", "rank_zephyr", "rankgpt"]
FirstTemplate = Literal["rank_zephyr", "compact"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Labels(NamedTuple):
    """How an answer that names passages begins: ``before`` it, one of ``tokens``, ``after`` it."""

    before: str
    tokens: Sequence[str]
    after: str


FIRST_LABELS: Mapping[FirstTemplate, Labels] = {
    "rank_zephyr": Labels("[", LETTERS, "]"),
    "compact": Labels("", [f"[{i + 1}]" for i in range(len(LETTERS))], ""),
}
"""Whose log-probabilities FIRST reads."""


class Tokenizer(Protocol):
    """The part of a fast Hugging Face tokenizer that cutting needs."""

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool, verbose: bool
    ) -> Mapping[str, Any]: ...


def cut(text: str, tokenizer: Tokenizer, max_tokens: int) -> str:
    """The longest prefix of ``text``, ending between tokens, of at most ``max_tokens`` tokens.

    Call it on passages, before they enter a template: the template itself is never cut.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be >= 1, got {max_tokens}")
    keep = max_tokens
    text = beginning(text, max_tokens, lambda start: len(_offsets(start, tokenizer)))
    while True:
        offsets = _offsets(text, tokenizer)
        if len(offsets) <= max_tokens:
            return text
        # A prefix may tokenize into more tokens than it had inside the whole: then keep fewer.
        text = text[: offsets[keep - 1][1]].rstrip() if keep else ""
        keep -= 1


def _offsets(text: str, tokenizer: Tokenizer) -> Sequence[tuple[int, int]]:
    # Quiet: that a text is longer than the model's context is why it is cut.
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets: Sequence[tuple[int, int]] = encoded["offset_mapping"]
    return offsets


def _compact(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    # The query first and each label after its passage: what a small causal model has to look up
    # is then always behind it and near.
    lines = [f"Query: {query}"]
    lines += [f"{passage} [{i}]" for i, passage in enumerate(passages, 1)]
    return [_user("\n".join([*lines, "Ranking:"]))]


def rank_zephyr_messages(
    query: str,
    passages: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    kind: str = "a numerical",
    example: str = "[2] > [1]",
) -> list[ChatMessage]:
    num = len(passages)
    names = [str(i + 1) for i in range(num)] if labels is None else labels[:num]
    listed = "\n".join(f"[{i}] {passage}" for i, passage in zip(names, passages, strict=True))
    return [
        _system(
            "You are RankLLM, an intelligent assistant that can rank passages based on their "
            "relevancy to the query"
        ),
        _user(
            f"I will provide you with {num} passages, each indicated by {kind} identifier []. "
            f"Rank the passages based on their relevance to the search query: {query}.\n"
            f"{listed}\n"
            f"Search Query: {query}.\n"
            f"Rank the {num} passages above based on their relevance to the search query. All the "
            "passages should be included and listed using identifiers, in descending order of "
            f"relevance. The output format should be [] > [], e.g., {example}, Answer concisely "
            "and directly and only respond with the ranking results, do not say any word or "
            "explain."
        ),
    ]


def _rankgpt(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    num = len(passages)
    turns = [
        _system(
            "You are RankGPT, an intelligent assistant that can rank passages based on their "
            "relevancy to the query."
        ),
        _user(
            f"I will provide you with {num} passages, each indicated by number identifier []. \n"
            f"Rank the passages based on their relevance to query: {query}."
        ),
        _assistant("Okay, please provide the passages."),
    ]
    for i, passage in enumerate(passages, 1):
        turns += [_user(f"[{i}] {passage}"), _assistant(f"Received passage [{i}].")]
    turns.append(
        _user(
            f"Search Query: {query}. \nRank the {num} passages above based on their relevance to "
            "the search query. The passages should be listed in descending order using "
            "identifiers. The most relevant passages should be listed first. The output format "
            "should be [] > [], e.g., [1] > [2]. Only response the ranking results, do not say any "
            "word or explain."
        )
    )
    return turns


TEMPLATES: Mapping[Template, Callable[[str, Sequence[str]], list[ChatMessage]]] = {
    "compact": _compact,
    "rank_zephyr": rank_zephyr_messages,  # castorini/rank_llm, arXiv 2312.02724: one turn
    "rankgpt": _rankgpt,  # arXiv 2304.09542: one turn per passage
}


def listwise_messages(
    query: str, passages: Sequence[str], *, template: Template = "compact"
) -> list[ChatMessage]:
    """The chat turns that ask for a permutation of ``passages`` (texts, already cut to size)."""
    texts = [neutralise_fields(passage) for passage in passages]
    return TEMPLATES[template](neutralise_fields(query), texts)


def listwise_answer(order: Sequence[int]) -> str:
    """The answer that ranks by ``order`` (0-based, best first): ``(1, 0)`` -> ``[2] > [1]``."""
    return " > ".join(f"[{i + 1}]" for i in order)


def _system(content: str) -> ChatMessage:
    return {"role": "system", "content": content}


def _user(content: str) -> ChatMessage:
    return {"role": "user", "content": content}


def _assistant(content: str) -> ChatMessage:
    return {"role": "assistant", "content": content}


def user_chat(content: str) -> list[ChatMessage]:
    return [{"role": "user", "content": content}]
