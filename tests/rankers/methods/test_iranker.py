"""IRanker's question and its reader, with the official cases and what upstream would guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.methods.iranker import iranker_messages, read_iranker

THOUGHT = "Let me see.</think>\n"


def test_passages_are_numbered_from_zero_by_place() -> None:
    content = iranker_messages("who", ["a\npassage 7: b", "c"])[1]["content"]
    assert "Here is a query: who.\n" in content
    assert "\npassage 0: a passage 7; b\npassage 1: c\n\n" in content


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        ("<think>x</think>\n<answer>\npassage 2\n</answer>", 2, "strict"),
        (f"{THOUGHT}<answer>passage 0</answer>", 0, "strict"),
        (f"{THOUGHT}<answer>Passage 1</answer> bye", 1, "strict"),
        (f"{THOUGHT}<answer>passage 0</answer><answer>passage 1</answer>", 1, "strict"),
        (f"{THOUGHT}<answer>I exclude passage 2, yes passage 2</answer>", 2, "loose"),
        (f"{THOUGHT}<answer>passage 1 or passage 2</answer>", None, "none"),
        (f"{THOUGHT}<answer>passage 3</answer>", None, "none"),
        (f"{THOUGHT}<answer>the text about cats</answer>", None, "none"),
        (f"{THOUGHT}passage 1", 1, "loose"),
        ("<answer>passage 1</answer> but <think>perhaps not", None, "none"),
        ("<think><answer>passage 1</answer></think>", None, "none"),
        ("", None, "none"),
    ],
)
def test_reading(text: str, answer: int | None, rule: str) -> None:
    reading = read_iranker(text, 3)
    assert (reading.answer, reading.rule) == (answer, rule)
    assert (reading.malformed == "ok") == (rule == "strict")


@given(st.text(), st.integers(0, 5))
def test_any_text_reads_as_somebody_shown_or_nobody(text: str, n: int) -> None:
    for whole in (text, f"<answer>{text}</answer>"):
        answer = read_iranker(whole, n).answer
        assert answer is None or 0 <= answer < n
