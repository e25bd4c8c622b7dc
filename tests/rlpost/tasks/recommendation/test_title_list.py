"""Reading a list of titles: ranks, spans of tokens, and everything that must not shift them."""

import json

import pytest

from rlpost.models.loading import load_tokenizer
from rlpost.tasks.recommendation.title_list import Title, pieces, read_list, read_title
from rlpost.types import Segment
from tests.paths import SHARED

TITLES = (
    Title("Am\u00e9lie", 2001),
    Title("WALL\u00b7E", 2008),
    Title("\u5343\u3068\u5343\u5c0b\u306e\u795e\u96a0\u3057", 2001),
)
CATALOGUE = SHARED / "data" / "rankgrpo_catalog" / "catalog.jsonl"
END = Segment(1, None, 1)


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("Heat (1995)", Title("Heat", 1995)),
        ('  1. **"Heat" (1995)** - Mann', Title("Heat", 1995)),
        ("**Heat** (1995)", Title("Heat", 1995)),
        ("'71 (2014)", Title("71", 2014)),
        ("- 12 Angry Men (1957)", Title("12 Angry Men", 1957)),
        ("(3) 2001: A Space Odyssey (1968)", Title("2001: A Space Odyssey", 1968)),
        ("alien ( 1979 )", Title("alien", 1979)),
        *[
            (f"{number}Heat (1995)", Title("Heat", 1995))
            for number in ("1.", "[1] ", "1: ", "1 - ", "1\t", "| 1 | ", "Rank 1: ", "**1. ", "> ")
        ],
        ("\u2460 \u201cHeat\u201d\uff081995\uff09", Title("Heat", 1995)),
        ("(500) Days of Summer (2009)", Title("(500) Days of Summer", 2009)),
        ("300: Rise of an Empire (2014)", Title("300: Rise of an Empire", 2014)),
        ("11:14 (2003)", Title("11:14", 2003)),
        ("[REC] (2007)", Title("[REC]", 2007)),
        ("10. 10 Things I Hate About You (1999)", Title("10 Things I Hate About You", 1999)),
        ("Brazil (Director's Cut) (1985)", Title("Brazil (Director's Cut)", 1985)),
        ("Here are some films:", None),
        ("Heat", None),
        ("Heat (95)", None),
        ("(1995)", None),
        ("", None),
    ],
)
def test_a_line_is_a_title_or_it_is_not(line, title) -> None:
    assert read_title(line) == title


def test_spellings_of_a_title_are_one_key_and_years_are_not() -> None:
    assert Title("AM\u00c9LIE !", 2001).key == Title("amelie", 2001).key
    assert Title("Spider - Man", 2002).key == Title("Spider-Man", 2002).key
    assert Title("Dune", 1984).key != Title("Dune", 2021).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8\u00bd", "8 1/2"),
        ("Alien\u00b3", "Alien 3"),
        ("Romeo + Juliet", "Romeo & Juliet"),
        ("Lock & Stock", "Lock and Stock"),
        ("3:10 to Yuma", "3.10 to Yuma"),
        ("20,000 Leagues", "20000 leagues"),
        ("M*A*S*H", "MASH"),
        ("Toy Story\u2122", "toy story"),
        ("#1 Fan", "1 Fan"),
        ("Rocky \u2161", "rocky ii"),
        ("\u0391\u039c\u0395\u039b\u0399", "\u0391\u03bc\u03b5\u03bb\u03af"),  # Greek
        ("\uff76\uff9e", "\u30ac"),  # half-width kana
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),  # Hebrew points
        ("\u0401\u043b\u043a\u0438", "\u0435\u043b\u043a\u0438"),  # Russian yo
        ("\u2764\ufe0f", "\u2764"),
    ],
)
def test_ways_of_writing_a_title_are_one_key(one, other) -> None:
    assert Title(one, 2000).key == Title(other, 2000).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0926\u093f\u0932", "\u0926\u0932"),  # Hindi dil, dal
        ("\u304c", "\u304b"),  # Japanese ga, ka
        ("\u3071", "\u3070"),  # pa, ba
        ("\u0e17\u0e35\u0e48", "\u0e17\u0e35"),  # a Thai tone
        ("\u0439", "\u0438"),  # Russian short i
        ("8\u00bd", "812"),
        ("8\u2153", "8\u00bd"),
        ("10\u00b2", "102"),
        ("2.0", "20"),
        ("C++", "C"),
        ("C#", "C++"),
        ("100%", "100"),
        ("#Alive", "Alive"),
        ("$9.99", "999"),
        ("!!!", "???"),
    ],
)
def test_titles_that_are_different_works_have_different_keys(one, other) -> None:
    assert Title(one, 2000).key != Title(other, 2000).key


@pytest.mark.skipif(not CATALOGUE.is_file(), reason="the catalogue is not here")
def test_every_title_of_a_real_catalogue_is_read_back() -> None:
    rows = [json.loads(line) for line in CATALOGUE.read_text("utf-8").splitlines()]
    titles = [Title(row["title"], row["year"]) for row in rows]
    read = [read_title(str(title)) for title in titles]
    lost = [str(t) for t, r in zip(titles, read, strict=True) if r is None or r.key != t.key]
    assert lost == ["The Wall (201)"]
    assert len(titles) - len({title.key for title in titles}) == 24  # such as Ben Hur, Ben-Hur


def test_pieces_join_to_the_decoded_text_and_wait_for_whole_characters(tiny_model) -> None:
    tokenizer = load_tokenizer(tiny_model)
    text = "\n".join(map(str, TITLES))
    token_ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    pieces_T = pieces(token_ids, tokenizer.backend_tokenizer)
    assert len(pieces_T) == len(token_ids)
    assert "".join(pieces_T) == text == tokenizer.decode(token_ids, skip_special_tokens=True)
    assert pieces_T[1:4] == ["m", "", "\u00e9"]


def test_bytes_that_are_no_text_do_not_hide_the_end_of_a_line(tiny_model) -> None:
    tokenizer = load_tokenizer(tiny_model)
    broken = tokenizer("\u65e5")["input_ids"][:1]
    token_ids = [*broken, *tokenizer("a\nb")["input_ids"], *broken]
    assert pieces(token_ids, tokenizer.backend_tokenizer) == ["", "\ufffda", "\n", "b", ""]


@pytest.mark.parametrize("model", ["bytes", "tiny-ranker"])
def test_every_token_counts_for_the_title_it_writes(model, tiny_model) -> None:
    tokenizer = load_tokenizer(tiny_model if model == "bytes" else model)
    titles = TITLES if model == "bytes" else TITLES[:2]
    lines = [f"{title}\n" for title in titles]
    lengths = [len(tokenizer(line, add_special_tokens=False)["input_ids"]) for line in lines]
    token_ids = tokenizer("".join(lines), add_special_tokens=False)["input_ids"]
    pieces_T = pieces([*token_ids, tokenizer.eos_token_id], tokenizer.backend_tokenizer)
    found = read_list(pieces_T, ended=True, length=len(titles))
    assert [title.key for title in found.titles] == [title.key for title in titles]
    expected = [Segment(length, rank) for rank, length in enumerate(lengths)]
    assert found.segments == (*expected, END)
    assert found.tidy


HEAT, UP = ("Heat", " (1995)"), ("Up", " (2009)")
"""Tokens that write a title."""


@pytest.mark.parametrize(
    ("pieces_T", "ranks_T"),
    [
        ((*HEAT, "\n", *UP), (0, 0, 0, 1, 1)),
        ((*HEAT, "\n", *UP, "\n"), (0, 0, 0, 1, 1, 1)),
        ((*HEAT, "\n\n", *UP, "\n", "\n"), (0, 0, 0, 1, 1, 1, 1)),
        (("Some", " films:", "\n", *HEAT, "\n", *UP), (None, None, None, 0, 0, 0, 1, 1)),
        (("\n", *HEAT, "\n", *UP), (None, 0, 0, 0, 1, 1)),
        ((*HEAT, "\n", "Up", "\n", *UP), (0, 0, 0, None, None, 1, 1)),
        ((*HEAT[:1], " (1995)\n", *UP), (0, 0, 1, 1)),
        ((*HEAT, "\nUp", *UP[1:]), (0, 0, 1, 1)),
        ((*HEAT, "", "\n", "", "Up", " (2009)"), (0, 0, 0, 0, 1, 1, 1)),
        ((*HEAT, "\r", "\n", *UP, "."), (0, 0, 0, 0, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_nothing_between_the_titles_shifts_a_rank(pieces_T, ranks_T, ended) -> None:
    found = read_list([*pieces_T, ""] if ended else pieces_T, ended=ended, length=2)
    assert found.titles == (Title("Heat", 1995), Title("Up", 2009))
    assert of_tokens(found.segments) == [*ranks_T, None] if ended else [*ranks_T]
    strays = [s for s in found.segments[: -1 if ended else None] if s.rank is None]
    assert all(s.sign == -1 for s in strays)
    assert found.tidy is (ended and not strays)
    assert not ended or found.segments[-1] == END


def test_the_length_of_the_list_is_what_the_signs_speak_of() -> None:
    one, three = [*HEAT, ""], [*HEAT, "\n", *UP, "\n", *HEAT, ""]
    assert read_list(one, ended=True, length=1).segments == (Segment(2, 0), END)
    assert read_list(one, ended=True, length=2).segments == (Segment(2, 0), Segment(1, None, -1))
    longer = read_list(three, ended=True, length=2)
    assert longer.segments[-2:] == (Segment(2, 2, -1), Segment(1, None, 0))
    cut = read_list([*HEAT, "\n", "Up", " (20"], ended=False, length=2)
    assert cut.titles == (Title("Heat", 1995),)
    assert cut.segments == (Segment(3, 0), Segment(2, None, -1))
    assert read_list([""], ended=True, length=2).segments == (Segment(1, None, -1),)
    assert read_list([], ended=False, length=2).segments == ()


def of_tokens(segments) -> list[int | None]:
    return [segment.rank for segment in segments for _ in range(segment.length)]
