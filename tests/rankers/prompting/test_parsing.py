"""Any answer at all becomes a permutation, and says how it was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.prompting.parsing import Malformed, Rule, loose_ids, parse_permutation
from tests.rankers.golden import golden

ANSWERS = st.one_of(
    st.text(),
    st.text(st.sampled_from(list("[]>0123456789 AB\uff12\u2461\u0662\u00bd<think/>\n"))),
)


@pytest.mark.parametrize(
    ("text", "n", "order", "rule", "malformed"),
    [
        ("[2] > [3] > [1]", 3, (1, 2, 0), "strict", "ok"),
        ("[2]>[3]>[1]", 3, (1, 2, 0), "strict", "ok"),
        (" [2] > [1]\n", 2, (1, 0), "strict", "ok"),
        ("<think>[1] > [2]</think>\n[2] > [1]", 2, (1, 0), "strict", "ok"),
        ("[1]", 1, (0,), "strict", "ok"),
        ("[2] > [3]", 4, (1, 2, 0, 3), "strict", "missing"),
        ("[2]", 3, (1, 0, 2), "strict", "missing"),
        ("[2] > [1] > [2]", 2, (1, 0), "strict", "repetition"),
        ("[2] > [1] > [9]", 2, (1, 0), "strict", "wrong_format"),
        ("[2] > [1].", 2, (1, 0), "strict", "wrong_format"),
        ("First [1] > [2], no: [2] > [1], as 3 say", 2, (1, 0), "strict", "wrong_format"),
        ("[2] > [1]\n\nPassage [1] has 5 errors", 2, (1, 0), "strict", "wrong_format"),
        ("2, 3, 1", 3, (1, 2, 0), "loose", "wrong_format"),
        ("The best is [3].", 3, (2, 0, 1), "loose", "wrong_format"),
        ("[\uff12] > [\uff11]", 2, (1, 0), "loose", "wrong_format"),
        ("", 3, (0, 1, 2), "none", "wrong_format"),
        ("no idea", 2, (0, 1), "none", "wrong_format"),
        ("<think>[2] > [1]", 2, (0, 1), "none", "wrong_format"),
        ("</think><think>[2] > [1]", 2, (0, 1), "none", "wrong_format"),
        ("9" * 5000, 2, (0, 1), "none", "wrong_format"),
        ("[2] > [1]", 0, (), "strict", "wrong_format"),
    ],
)
def test_what_an_answer_means(
    text: str, n: int, order: tuple[int, ...], rule: Rule, malformed: Malformed
) -> None:
    parsed = parse_permutation(text, n)
    assert (parsed.order, parsed.rule, parsed.malformed) == (order, rule, malformed)
    assert parsed.well_formed == (malformed == "ok")


def test_letters() -> None:
    assert parse_permutation("[C] > [A] > [B]", 3, labels="letters").well_formed
    assert parse_permutation("B > A", 3, labels="letters").order == (1, 0, 2)


def test_counts_of_what_was_named() -> None:
    parsed = parse_permutation("[2] > [2] > [7] > [0]", 3)
    assert (parsed.listed, parsed.repeated, parsed.out_of_range) == (1, 1, 2)


@given(ANSWERS, st.integers(0, 200), st.sampled_from(["numbers", "letters"]))
def test_always_a_permutation(text: str, n: int, labels: str) -> None:
    parsed = parse_permutation(text, n, labels=labels)  # type: ignore[arg-type]
    assert sorted(parsed.order) == list(range(n))
    assert parsed.order[parsed.listed :] == tuple(sorted(parsed.order[parsed.listed :]))
    assert not parsed.well_formed or parsed.listed == n


@given(st.permutations(range(12)))
def test_every_permutation_written_is_read_back(order: list[int]) -> None:
    parsed = parse_permutation(" > ".join(f"[{i + 1}]" for i in order), 12)
    assert parsed.well_formed
    assert list(parsed.order) == order


def test_reading_takes_linear_time() -> None:
    for text in ("[1]" * 300_000, "[1] > " * 200_000, "[1]" + " " * 900_000, "[" * 900_000):
        parse_permutation(text, 100)


def test_the_loose_rule_is_rank_llms() -> None:
    for row in golden("rank_llm_parser"):
        ids = loose_ids(row["text"], labels="letters" if row["alpha"] else "numbers")
        listed = list(dict.fromkeys(i for i in ids if 1 <= i <= row["n"]))
        order = listed + [i for i in range(1, row["n"] + 1) if i not in listed]
        assert [f"d{i}" for i in order] == row["order"], row["text"]


def test_where_the_strict_rule_departs_from_rank_llm() -> None:
    # Prose before the ranking is not an id, and reasoning that never closed is no answer.
    departed = set()
    for row in golden("rank_llm_parser"):
        parsed = parse_permutation(
            row["text"], row["n"], labels="letters" if row["alpha"] else "numbers"
        )
        if [f"d{i + 1}" for i in parsed.order] != row["order"]:
            departed.add(row["text"])
    assert departed == {
        "<think>I like [3] > [2] > [1]",
        "[1] > [2] > [5",
        "I choose [B] > [A]",
    }
