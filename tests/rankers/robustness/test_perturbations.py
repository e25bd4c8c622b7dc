"""Changed queries and hostile passages: what each rule changes, and what it leaves alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.robustness.perturbations import ATTACKS, SAME_MEANING, TYPOS

QUERY = "What is the boiling point of nitrogen, roughly?"


@given(st.integers(0, 99), st.sampled_from(sorted(TYPOS)))
def test_a_typo_is_one_slip_inside_one_word(seed: int, name: str) -> None:
    changed = TYPOS[name](QUERY, random.Random(seed)).split(" ")
    different = [(a, b) for a, b in zip(QUERY.split(" "), changed, strict=True) if a != b]
    assert len(different) <= 1  # swapping two equal letters changes nothing
    for before, after in different:
        assert before in ("What", "boiling", "point")
        assert after[0] == before[0]
        assert len(after) - len(before) == {"dropped letter": -1, "doubled letter": 1}.get(name, 0)
    assert TYPOS[name](QUERY, random.Random(seed)).split(" ") == changed


@pytest.mark.parametrize("name", sorted(TYPOS))
def test_short_words_and_numbers_are_left_alone(name: str) -> None:
    assert TYPOS[name]("to be 1984 x-ray", random.Random(0)) == "to be 1984 x-ray"


def test_meaning_is_kept() -> None:
    changed = {name: change(QUERY, random.Random(0)) for name, change in SAME_MEANING.items()}
    assert changed == {
        "upper case": "WHAT IS THE BOILING POINT OF NITROGEN, ROUGHLY?",
        "no punctuation": "What is the boiling point of nitrogen roughly",
        "no stop words": "boiling point nitrogen, roughly?",
        "extra spaces": " What  is  the  boiling  point  of  nitrogen,  roughly? ",
    }
    assert SAME_MEANING["no stop words"]("to be or that", random.Random(0)) == "to be or that"


def test_an_attack_keeps_the_passage() -> None:
    for attack in ATTACKS.values():
        assert "the passage" in attack("the query", "the passage")
