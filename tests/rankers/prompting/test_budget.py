"""A prompt fits the model: passages give way evenly, the template and the query never."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers import Budget, DataError, Passage, Query
from rankers.prompting.templates import ChatMessage
from tests.rankers.reader import METHODS, Reader


class Characters:
    """One token per character, and five per turn for its frame."""

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool, verbose: bool
    ) -> Mapping[str, Any]:
        return {"offset_mapping": [(i, i + 1) for i in range(len(text))]}

    def apply_chat_template(
        self, chat: Sequence[ChatMessage], *, add_generation_prompt: bool, return_dict: bool
    ) -> Sequence[int]:
        return [0] * sum(len(turn["content"]) + 5 for turn in chat)


def ask(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    return [{"role": "user", "content": "|".join([query, *passages, "?"])}]


def budget(max_prompt_tokens: int, **options: Any) -> Budget:
    return Budget(tokenizer=Characters(), max_prompt_tokens=max_prompt_tokens, **options)


PASSAGES = ["a" * 30, "b" * 10, "c" * 20]
WHOLE = 5 + len("query") + 60 + len("?") + 4
"""Tokens of the prompt with all passages whole."""


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (WHOLE, (30, 10, 20)),
        (WHOLE - 1, (29, 10, 20)),
        (WHOLE - 10, (20, 10, 20)),
        (WHOLE - 11, (19, 10, 19)),
        (WHOLE - 32, (9, 9, 9)),
        (WHOLE - 36, (8, 8, 8)),
    ],
)
def test_the_longest_passages_give_way_first(room: int, kept: tuple[int, ...]) -> None:
    chat, truncated = budget(room).fit(ask, "query", PASSAGES)
    parts = chat[0]["content"].split("|")
    assert tuple(len(part) for part in parts[1:-1]) == kept
    assert (parts[0], parts[-1]) == ("query", "?")
    assert truncated == sum(now < len(was) for now, was in zip(kept, PASSAGES, strict=True))


def test_a_context_too_small_for_the_passages_is_refused() -> None:
    with pytest.raises(DataError, match="3 passages of 8 tokens takes 1 more than 38: show"):
        budget(WHOLE - 37).fit(ask, "query", PASSAGES)
    with pytest.raises(DataError, match="1 passages of 8 tokens"):
        budget(10).fit(ask, "a query longer than all there is", ["passage"])
    assert budget(WHOLE - 52, min_passage_tokens=2).fit(ask, "query", PASSAGES).truncated == 3


def test_a_cap_per_passage_holds_even_where_there_is_room() -> None:
    chat, truncated = budget(1000, max_passage_tokens=12).fit(ask, "query", PASSAGES)
    assert [len(part) for part in chat[0]["content"].split("|")[1:-1]] == [12, 10, 12]
    assert truncated == 2
    with pytest.raises(DataError, match="3 passages of 5 tokens"):
        budget(20, max_passage_tokens=5).fit(ask, "query", PASSAGES)


def test_text_that_grows_in_the_prompt_still_fits() -> None:
    def growing(query: str, passages: Sequence[str]) -> list[ChatMessage]:
        return ask(query, [passage.replace("a", "(a)") for passage in passages])

    chat, truncated = budget(70).fit(growing, "query", PASSAGES)
    assert len(chat[0]["content"]) + 5 <= 70
    assert truncated >= 1


@given(
    lengths=st.lists(st.integers(0, 60), max_size=8),
    room=st.integers(1, 300),
    cap=st.none() | st.integers(1, 40),
)
def test_whatever_fits_is_as_long_as_it_may_be(
    lengths: list[int], room: int, cap: int | None
) -> None:
    texts = ["x" * length for length in lengths]
    limit = budget(room, max_passage_tokens=cap, min_passage_tokens=1)
    try:
        chat, truncated = limit.fit(ask, "query", texts)
    except DataError:
        least = ask("query", ["x" * min(length, 1) for length in lengths])
        assert limit.size(least) > room
        return
    size = limit.size(chat)
    assert size <= room
    if truncated and cap is None:
        assert room - size < len(texts)  # one token more for each would not have fitted


@pytest.mark.parametrize("name", METHODS)
def test_every_method_cuts_passages_counts_them_and_keeps_its_template(name: str) -> None:
    query = Query(id="q", text="which")
    passages = [Passage(id=str(i), text=f"worth {i} " + "and so on " * 60) for i in range(4)]
    whole, cut = Reader(), Reader()
    METHODS[name](whole).rank(query, passages)
    sizes = [budget(1).size(chat) for chat in whole.chats]
    room = max(sizes) - 100
    ranking = METHODS[name](cut, budget=budget(room)).rank(query, passages)
    assert max(budget(1).size(chat) for chat in cut.chats) <= room
    assert ranking.trace.truncated > 0
    assert list(ranking.order[:2]) == [3, 2]
    without = [
        re.sub(r"(worth \d)[ando s]*", r"\1", turn["content"])
        for reader in (whole, cut)
        for turn in reader.chats[0]
    ]
    assert without[: len(without) // 2] == without[len(without) // 2 :]


def test_a_full_ranking_that_does_not_fit_is_refused_whatever_the_mode() -> None:
    passages = [Passage(id=str(i), text="worth 1 " + "and so on " * 9) for i in range(100)]
    with pytest.raises(DataError, match="100 passages of 8 tokens"):
        METHODS["full ranking"](Reader(), budget=budget(1500)).rank(
            Query(id="q", text="which"), passages
        )
