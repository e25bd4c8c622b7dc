"""The candidate that an answer decides for, as models word it that were not tuned to a format."""

import time
from collections.abc import Callable

import pytest

from rankers.methods.iranker import read_iranker
from rankers.methods.rank_r1 import read_rank_r1
from rankers.methods.setwise import read_letter
from rankers.prompting.parsing import parse_permutation

C_OF_FOUR = [
    "C",
    "c",
    "[C]",
    "(C)",
    "C.",
    "C)",
    "**C**",
    "`C`",
    '"C"',
    "'Passage C'",
    "Passage C",
    "passage c",
    "Passage: C",
    "Passage [C]",
    "**Passage C**",
    "Option C",
    "Document C.",
    "\uff23",
    "\\boxed{C}",
    "$\\boxed{\\text{C}}$",
    "<answer>C</answer>",
    "<answer>Passage C</answer> since Passage A is short",
    "<think>Passage A or B</think>Passage C",
    "<THINK>Passage A</THINK>\n\nC",
    "Answer: C",
    "Answer: Passage C",
    "The answer is: C.",
    "The answer is C",
    "The correct answer is **C**",
    "Final answer: [C]",
    "My choice is Passage C, not Passage A.",
    "The answer is Passage C because Passage A is off topic.",
    "I would choose Passage C.",
    "I choose C over A.",
    "Output: Passage C",
    "The most relevant passage is Passage C.",
    "The most relevant passage to the query is: C",
    'The most relevant passage to the query "who is A" is Passage C',
    "The most relevant one is C, as Passage A is on bread.",
    "Based on the query, Passage C is the most relevant.",
    "Passage C is the most relevant passage to the query. Passage A is not.",
    "Passage C would be the best match, while Passage B is near.",
    "A is a good passage but the most relevant is Passage C",
    "Passage A is good, but Passage C is more relevant",
    "Passage C is more relevant than Passage A",
    "Passage A is less relevant than Passage C",
    "Passage A is not the most relevant; Passage C is the most relevant.",
    "Passage C best answers the query, unlike Passage A.",
    "Passage C directly addresses the query; Passage B does not.",
    "Passage C\n\nExplanation: Passage A is about bread, Passage B about salt.",
    "C\n\nPassage C names the moon. Passage A does not.",
    "C. The moon moves the tides.",
    "C - it names the moon, unlike Passage A",
    "C, because it names the moon and Passage A does not",
    "C: tides follow the moon",
    "Let me compare Passage A, Passage B, Passage C and Passage D.\n\nPassage C",
    "Passage A: bread. Passage B: salt. Passage C: tides.\n\nThe answer is Passage C.",
    "Which is most relevant: Passage A or Passage B? The most relevant is Passage C.",
    "Neither Passage A nor B is good. The best is Passage C.",
    "Passage C > Passage A > Passage B > Passage D",
    "C > A > B > D",
    "[C] > [A]",
    "Passage C\nPassage A\nPassage B",
    "It is in Passage C that the moon is named.",
    "A passage about tides is Passage C",
    "I think it is [C]",
    "It's C",
    "Definitely C!",
    "Passage C has the highest relevance",
    "Passage C</s>",
    "- Passage C",
    "### Answer\nC",
]
NOBODY_OF_FOUR = [
    "",
    "E",
    "Passage E",
    "None of the passages",
    "None of the passages is relevant. Passage A is about bread.",
    "Neither Passage A nor Passage B",
    "I cannot determine which passage is the most relevant.",
    "I'm sorry, but Passage A is unsafe.",
    "Both Passage A and B are relevant.",
    "Passage A and Passage B are equally relevant",
    "Passage A and B are equally relevant",
    "Passage A and Passage C are relevant",
    "Passages A and C",
    "A and B",
    "A or B",
    "B, A",
    "Passage A: 0.4, Passage B: 0.9",
    "While Passage A mentions tides, Passage B explains them.",
    "Passage A does not answer the query, but Passage B does.",
    "There is no relevant passage.",
    "Passage A or Passage B",
    "The most relevant passages are Passage A and Passage B.",
    "A passage about the moon",
    "A cat",
    "As a language model, I cannot say",
    "The answer is a passage on tides",
    "<think>Passage A",
    "Passage A: bread. Passage B: salt.",
    "yes",
    "It's a tie between Passage A and Passage B",
]


@pytest.mark.parametrize("text", C_OF_FOUR)
def test_a_letter_is_found(text: str) -> None:
    assert read_letter(text, 4).answer == 2


@pytest.mark.parametrize("text", NOBODY_OF_FOUR)
def test_no_letter_is_made_up(text: str) -> None:
    assert read_letter(text, 4).answer is None


def test_only_a_label_alone_is_strict() -> None:
    strict = {text for text in C_OF_FOUR if read_letter(text, 4).rule == "strict"}
    assert strict == {
        "C",
        "c",
        "[C]",
        "C.",
        "Passage C",
        "passage c",
        "Passage [C]",
        "<think>Passage A or B</think>Passage C",
        "<THINK>Passage A</THINK>\n\nC",
    }


def test_the_pronoun_is_no_label() -> None:
    for text in ("I think that none fits", "I choose [B]", "I would say Passage B", "I am sorry"):
        assert read_letter(text, 12).answer in (None, 1)
    assert read_letter("I", 12).answer == 8
    assert read_letter("Passage I", 12).answer == 8
    assert read_letter("The answer is I.", 12).answer == 8


THOUGHT = "<think>[1] is short, [3] is on salt.</think>\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{THOUGHT}<answer>[2]</answer>", 2),
        (f"{THOUGHT}<answer>2</answer>", 2),
        (f"{THOUGHT}<answer>(2)</answer>", 2),
        (f"{THOUGHT}<answer>**[2]**</answer>", 2),
        (f"{THOUGHT}<answer>\\boxed{{2}}</answer>", 2),
        (f"{THOUGHT}<answer>Document 2</answer>", 2),
        (f"{THOUGHT}<answer>The most relevant document is [2].</answer>", 2),
        (f"{THOUGHT}<answer>[2] > [1]</answer>", 2),
        (f"{THOUGHT}<answer>[2] > [1] > [3]</answer>", 2),
        (f"{THOUGHT}<answer>[2]", 2),
        (f"{THOUGHT}<answer>[2]<answer>", 2),
        (f"{THOUGHT}<answer> the label </answer> ... <answer>[2]</answer>", 2),
        (f"{THOUGHT}<Answer>[2]</Answer>", 2),
        (f"{THOUGHT}Answer: [2]", 2),
        (f"{THOUGHT}[2]", 2),
        (f"{THOUGHT}The most relevant document is [2].", 2),
        (f"{THOUGHT}x\n<answer>[2]</answer>", 2),
        ("It names it.\n</think>\n<answer>[2]</answer>", 2),
        ("<THINK>[1]</THINK><ANSWER> [2]\n</ANSWER>", 2),
        ("<answer>[2]</answer>", 2),
        ("[2]", 2),
        ("[2] names the moon, [1] does not: the answer is [2]", 2),
        ("<think>a</think> <answer>[2]</answer> <think>b</think> <answer>[3]</answer>", 2),
        (f"{THOUGHT}<answer>[2], [3]</answer>", None),
        (f"{THOUGHT}<answer>[2] or [3]</answer>", None),
        (f"{THOUGHT}<answer>none</answer>", None),
        (f"{THOUGHT}<answer>None of the 3 documents</answer>", None),
        (f"{THOUGHT}<answer>[4]</answer>", None),
        (f"{THOUGHT}<answer>[0]</answer>", None),
        (f"{THOUGHT}<answer></answer>", None),
        ("<think>the best is [2]", None),
        ("<think>a <answer>[2]</answer>", None),
        ("", None),
    ],
)
def test_rank_r1(text: str, answer: int | None) -> None:
    assert read_rank_r1(text, 3).answer == (None if answer is None else answer - 1)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{THOUGHT}<answer>passage 2</answer>", 2),
        (f"{THOUGHT}<answer>passage 0</answer>", 0),
        (f"{THOUGHT}<answer>2</answer>", 2),
        (f"{THOUGHT}<answer>[2]</answer>", 2),
        (f"{THOUGHT}<answer>Passage ID: 2</answer>", 2),
        (f'{THOUGHT}<answer>"passage 2"</answer>', 2),
        (f"{THOUGHT}<answer>**passage 2**</answer>", 2),
        (f"{THOUGHT}<answer>passage_2</answer>", 2),
        (f"{THOUGHT}<answer>The excluded passage is passage 2.</answer>", 2),
        (f"{THOUGHT}<answer>passage 2 is the least relevant, after passage 1</answer>", 2),
        (f"{THOUGHT}<answer>I exclude passage 2; passage 1 stays</answer>", 2),
        (f"{THOUGHT}<answer>passage 2 should be excluded, passage 0 not</answer>", 2),
        (f"{THOUGHT}<answer>Excluded: passage 0. Remaining: passage 1, passage 2</answer>", 0),
        (f"{THOUGHT}<ANSWER>passage 2</ANSWER>", 2),
        (f"{THOUGHT}<answer>passage 2", 2),
        (f"{THOUGHT}passage 2", 2),
        ("so it is</think><answer>passage 2</answer>", 2),
        ("passage 2", 2),
        (f"{THOUGHT}<answer>passage 1 or passage 2</answer>", None),
        (f"{THOUGHT}<answer>passage 1, passage 2</answer>", None),
        (f"{THOUGHT}<answer>passage 3</answer>", None),
        (f"{THOUGHT}<answer>none</answer>", None),
        ("<think>passage 2", None),
        ("", None),
    ],
)
def test_iranker(text: str, answer: int | None) -> None:
    assert read_iranker(text, 3).answer == answer


HOSTILE = ["[1]", "1. ", "> ", "...", "Passage ", "passage 1 ", "the answer is ", "A ", "\\boxed{"]
READERS: list[Callable[[str], object]] = [
    lambda text: parse_permutation(text, 20),
    lambda text: parse_permutation(text, 20, labels="letters"),
    lambda text: read_letter(text, 20),
    lambda text: read_rank_r1(text, 20),
    lambda text: read_iranker(text, 20),
]


@pytest.mark.parametrize("unit", [*HOSTILE, "is the most relevant ", "<answer>", " ", "\n", "["])
def test_reading_takes_linear_time(unit: str) -> None:
    for read in READERS:
        started = time.process_time()
        read(unit * (20_000 // len(unit)) + "!")
        assert time.process_time() - started < 2  # quadratic: far more
