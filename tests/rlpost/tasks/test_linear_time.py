"""Titles in files and answers, and rewritten queries, are read in linear time."""

import pytest

from rlpost.tasks.ranking.rewrite import rewritten
from rlpost.tasks.recommendation.movielens import plain_title
from rlpost.tasks.recommendation.title_list import read_title
from tests.rankers.test_linear_time import UNITS, grows_too_fast

READERS = {
    "read_title": read_title,
    "plain_title": lambda text: plain_title(f"{text} (1999)"),
    "rewritten": rewritten,
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_linear_time(name: str) -> None:
    slow = [
        (opening, unit)
        for unit in UNITS
        for opening in ("", "(", "a (")
        if grows_too_fast(READERS[name], unit, opening, "x")
    ]
    assert slow == []
