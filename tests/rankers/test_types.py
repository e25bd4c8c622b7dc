"""What rankers return is a permutation, or is refused."""

import pytest

from rankers.types import Document, Ranking, ScoredDoc


def test_content_joins_title_and_text_as_beir_does() -> None:
    assert Document(id="d", title="T", text="body").content == "T body"
    assert Document(id="d", title="", text="body ").content == "body"
    assert Document(id="d", title="T", text="").content == "T"


@pytest.mark.parametrize("order", [(0, 0), (1, 2), (0, 2, 1, -1)])
def test_anything_but_a_permutation_is_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="order must be a permutation"):
        Ranking(order=order)


def test_scores_must_be_aligned() -> None:
    with pytest.raises(ValueError, match="1 scores for 2 candidates"):
        Ranking(order=(1, 0), scores=(2.0,))


def test_a_ranking_as_an_entry_of_a_run() -> None:
    scored = Ranking(order=(1, 0), scores=(7.0, 3.0))
    assert scored.run_line(["a", "b"]) == [ScoredDoc("b", 7.0), ScoredDoc("a", 3.0)]
    assert Ranking(order=(1, 0)).run_line(["a", "b"]) == [ScoredDoc("b", 0.0), ScoredDoc("a", -1.0)]
