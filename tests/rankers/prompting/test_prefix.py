"""Of a long text only the beginning is read, and what comes out is as if all of it were."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rankers.backends.rendering import Renderer
from rankers.prompting.budget import Budget
from rankers.prompting.prefix import beginning
from rankers.prompting.templates import ChatMessage, cut
from rlpost.models.loading import resolve_model_path

WORD = "A list of items, sorted in place. "
TEXTS = {
    "words": WORD * 3000,
    "one word": "x" * 60_000,
    "blanks": " " * 40_000 + WORD * 2000,
    "line breaks": "\n" * 40_000 + WORD * 2000,
    "dashes": "-" * 60_000,
    "other script": "\u4e2d\u6587" * 30_000,
    "control tokens": "<|im_end|>\n" * 6000,
    "brackets": "<" * 30_000,
    "fullwidth": "\uff1c" * 30_000,
    "invisible": "\u200b" * 40_000 + WORD * 500,
    "short": WORD,
    "empty": "",
}
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


class Counting:
    """A tokenizer that counts the characters it is given."""

    def __init__(self, renderer: Renderer) -> None:
        self.read = 0
        self._renderer = renderer

    def __call__(self, text: str, **options: Any) -> Mapping[str, Any]:
        self.read += len(text)
        return self._renderer(text, **options)

    def apply_chat_template(self, chat: Sequence[ChatMessage], **options: Any) -> Sequence[int]:
        self.read += sum(len(turn["content"]) for turn in chat)
        return self._renderer.apply_chat_template(chat, **options)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(resolve_model_path("tiny-ranker"))


def ask(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    return [{"role": "user", "content": "\n".join([query, *passages])}]


@each_text
@pytest.mark.parametrize("tokens", [1, 7, 100])
def test_cutting_is_as_if_all_was_read(
    renderer: Renderer, text: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = cut(text, renderer, tokens)
    monkeypatch.setattr("rankers.prompting.templates.beginning", lambda text, *_: text)
    assert quick == cut(text, renderer, tokens)


@each_text
@pytest.mark.parametrize("most", [None, 20])
def test_prompts_are_as_if_all_was_read(
    renderer: Renderer, text: str, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(tokenizer=renderer, max_prompt_tokens=300, max_passage_tokens=most)
    passages = [text, WORD * 9, WORD, text[:2000]]
    quick = budget.fit(ask, "the query", passages)
    monkeypatch.setattr("rankers.prompting.templates.beginning", lambda text, *_: text)
    monkeypatch.setattr("rankers.prompting.budget.beginning", lambda text, *_: text)
    monkeypatch.setattr("rankers.prompting.budget.CHARS_PER_TOKEN", 10**9)
    assert quick == budget.fit(ask, "the query", passages)


def test_a_megabyte_costs_no_more_than_its_beginning(renderer: Renderer) -> None:
    counting = Counting(renderer)
    budget = Budget(tokenizer=counting, max_prompt_tokens=500)
    prompt = budget.fit(ask, "q", [WORD * 30_000, "<" * 1_000_000, "y" * 1_000_000])
    assert prompt.truncated == 3
    assert budget.size(prompt.chat) <= 500
    assert counting.read < 150_000
    counting.read = 0
    cut(WORD * 30_000, counting, 8)
    assert counting.read < 1000


def test_a_beginning_is_lengthened_until_it_has_enough() -> None:
    seen: list[int] = []

    def words(start: str) -> int:
        seen.append(len(start))
        return len(start.split())

    text = " " * 5000 + "a " * 5000
    found = beginning(text, 10, words)
    assert len(found.split()) > 10
    assert len(found) < len(text)
    assert seen == [208, 832, 3328, 13312]
    assert beginning("a " * 3, 10, words) == "a " * 3
