"""The texts shown to a listwise ranker, and what keeps passages from forging their structure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

Message = dict[str, str]
"""One chat turn: ``{"role": ..., "content": ...}``, the shape chat templates take."""

Template = Literal["compact", "rank_zephyr", "rankgpt"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_OPEN, _CLOSE = r"[\[\uff3b\ufe47\u3010]", r"[\]\uff3d\ufe48\u3011]"
_BLANK = r"[\s\u200b-\u200d\u2060\ufeff\u00ad]*"
# Digits and letters as well as what compatibility normalisation makes of other characters.
_DIGIT = r"[\d\u00b2\u00b3\u00b9\u2070-\u2089\u2460-\u2473\u2776-\u277e]"
_LETTER = r"[A-Za-z\uff21-\uff3a\uff41-\uff5a\u24b6-\u24e9]"
_IDENTIFIER = re.compile(rf"{_OPEN}({_BLANK}(?:{_DIGIT}+|{_LETTER}){_BLANK}){_CLOSE}")
_BRACKETED = "INST|TOOL_CALLS|AVAILABLE_TOOLS|SYSTEM_PROMPT|gMASK|CLS|SEP|PAD|UNK|MASK|BOS|EOS"
_INSTRUCTION = re.compile(rf"{_OPEN}({_BLANK}/?{_BLANK}(?:{_BRACKETED}){_BLANK}){_CLOSE}", re.I)
_TAG_NAMES = (
    r"think|thinking|answer|reasoning|tool_call|tool_response|s|bos|eos|pad|unk|mask|cls|sep"
    r"|extra_id_\d+|unused\d+|query|document|instruct"
)
_TURN_NAMES = "start_of_turn|end_of_turn|start_of_text|end_of_text|start_header_id|end_header_id"
_TAG = re.compile(
    rf"<({_BLANK}/?{_BLANK}(?:{_TAG_NAMES}|{_TURN_NAMES}|\|?eot_id\|?){_BLANK})>", re.I
)
_LOOK_ALIKES = str.maketrans("\uff1c\ufe64\uff1e\ufe65", "(())")
_FIELD_NAMES = (
    r"(?:passage|document)(?:\s+[^\s\w:]?\w{1,9}[^\s\w:]?|\d+)?"
    r"|documents|query|relevant|instruct|answer|ranking"
)
_FIELD = re.compile(rf"\b((?:{_FIELD_NAMES}){_BLANK})[:\uff1a\ufe55\ufe13]", re.I)
_SYSTEM = re.compile(r"<<(\s*/?\s*SYS\s*)>>", re.I)


def one_line(text: str) -> str:
    """Every run of Unicode white space becomes one space: a passage cannot start a new line."""
    return " ".join(text.split())


def neutralise(text: str) -> str:
    """Rewrite ``text`` on one line, without anything that reads as structure of a prompt.

    ``[3]`` becomes ``(3)``; think, answer and turn tags lose their angle brackets; the delimiters
    of control tokens (``<|...|>``) are broken by a space; so is what compatibility normalisation
    would turn into one of these. Characters are replaced one by one or parted, never removed: a
    removal could join its neighbours into a new token. Idempotent.
    """
    text = one_line(text).translate(_LOOK_ALIKES)
    for bar in "|\uff5c":  # the second is DeepSeek's
        text = text.replace(f"<{bar}", f"< {bar}").replace(f"{bar}>", f"{bar} >")
    text = _SYSTEM.sub(r"((\1))", text)
    for pattern in (_TAG, _IDENTIFIER, _INSTRUCTION):
        text = pattern.sub(r"(\1)", text)
    return text


def neutralise_fields(text: str) -> str:
    """``neutralise``, for templates that name their parts within a line.

    ``Query:``, ``Document:``, ``Passage B:``, ``passage 3:`` and their like get a semicolon.
    Idempotent.
    """
    return _FIELD.sub(r"\1;", neutralise(text))


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
    while True:
        # Quiet: that a text is longer than the model's context is why it is cut.
        encoded = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets = encoded["offset_mapping"]
        if len(offsets) <= max_tokens:
            return text
        # A prefix may tokenize into more tokens than it had inside the whole: then keep fewer.
        text = text[: offsets[keep - 1][1]].rstrip() if keep else ""
        keep -= 1


def _compact(query: str, passages: Sequence[str]) -> list[Message]:
    # The query first and each label after its passage: what a small causal model has to look up
    # is then always behind it and near.
    lines = [f"Query: {query}"]
    lines += [f"{passage} [{i}]" for i, passage in enumerate(passages, 1)]
    return [_user("\n".join([*lines, "Ranking:"]))]


def _rank_zephyr(
    query: str,
    passages: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    kind: str = "a numerical",
    example: str = "[2] > [1]",
) -> list[Message]:
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


def _rankgpt(query: str, passages: Sequence[str]) -> list[Message]:
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


TEMPLATES: Mapping[Template, Callable[[str, Sequence[str]], list[Message]]] = {
    "compact": _compact,
    "rank_zephyr": _rank_zephyr,  # castorini/rank_llm, arXiv 2312.02724: one turn
    "rankgpt": _rankgpt,  # arXiv 2304.09542: one turn per passage
}


def listwise_messages(
    query: str, passages: Sequence[str], *, template: Template = "compact"
) -> list[Message]:
    """The chat turns that ask for a permutation of ``passages`` (texts, already cut to size)."""
    texts = [neutralise_fields(passage) for passage in passages]
    return TEMPLATES[template](neutralise_fields(query), texts)


def first_messages(query: str, passages: Sequence[str]) -> list[Message]:
    """FIRST's question (arXiv 2406.15657): the one of RankZephyr with letters as identifiers.

    Raises ValueError beyond 26 passages: windows are for that.
    """
    if len(passages) > len(LETTERS):
        raise ValueError(f"{len(passages)} passages, but there are {len(LETTERS)} letters")
    return _rank_zephyr(
        neutralise_fields(query),
        [neutralise_fields(passage) for passage in passages],
        labels=LETTERS,
        kind="an alphabetical",
        example="[B] > [A]",
    )


def listwise_answer(order: Sequence[int]) -> str:
    """The answer that ranks by ``order`` (0-based, best first): ``(1, 0)`` -> ``[2] > [1]``."""
    return " > ".join(f"[{i + 1}]" for i in order)


def _system(content: str) -> Message:
    return {"role": "system", "content": content}


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}
