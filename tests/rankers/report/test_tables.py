"""Tables keep every name and every digit at any width."""

import io

import pytest
from rich.console import Console

from rankers.report.tables import print_table, table_lines

LONG = "a-system-with-a-very-long-name-that-says-it-all"
ROWS = [
    ["run", *(f"measure@{i}" for i in range(12)), "difference"],
    ["first", *(f"0.{i:04d}" for i in range(12)), ""],
    [LONG, *(f"0.{i:04d}" for i in range(100, 112)), "+0.1234 [-0.001, +0.002]"],
]


@pytest.mark.parametrize("width", [None, 200, 80, 40, 20, 1])
def test_nothing_is_lost(width: int | None) -> None:
    lines = table_lines(ROWS, width)
    text = "\n".join(lines)
    assert "..." not in text
    assert all(cell in text for row in ROWS for cell in row[1:])
    rule = next(line for line in lines if line.startswith("--"))
    names = len(rule.split()[0])
    assert LONG in "".join(line[:names].strip() for line in lines)
    if width is not None and width >= 40:
        assert max(map(len, lines)) <= width


def test_a_pipe_has_no_width() -> None:
    pipe = io.StringIO()
    print_table(Console(file=pipe, width=20), "title", ROWS, ["a note"])
    lines = pipe.getvalue().splitlines()
    assert len(lines) == 1 + 4 + 1
    assert lines[4].split()[:3] == [LONG, "0.0100", "0.0101"]


def test_a_terminal_that_is_wide_enough_shows_one_block() -> None:
    assert table_lines([["run", "AP"], ["a", "0.1"], ["long", "10.0"]], 20) == [
        "run     AP",
        "----  ----",
        "a      0.1",
        "long  10.0",
    ]


def test_texts_are_folded_and_names_are_shown_as_they_are() -> None:
    rows = [["key", "meaning"], ["[b]x[/]", "one two three four five six seven"], [":x:", "$y$"]]
    assert table_lines(rows, 24) == [
        "key      meaning        ",
        "-------  ---------------",
        "[b]x[/]  one two three  ",
        "         four five six  ",
        "         seven          ",
        ":x:      $y$            ",
    ]
    assert table_lines([["a"], ["line\nend \x1b[31m"]], None)[2] == "line\\nend \\x1b[31m"


def test_wide_letters_are_counted_as_they_are_drawn() -> None:
    rows = [["run", "AP"], ["\u691c\u7d22", "0.5"], ["abcd", "0.25"]]
    assert table_lines(rows, None)[2:] == ["\u691c\u7d22   0.5", "abcd  0.25"]


def test_what_a_terminal_cannot_encode_is_spelt_out() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    print_table(Console(file=out), "", [["run", "AP"], ["\u691c", "0.5"]])
    out.flush()
    assert "\\u691c" in raw.getvalue().decode("ascii")
