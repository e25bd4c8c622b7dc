"""A run that answers everything alike, or worse than chance, is told so."""

import re
from collections.abc import Sequence

import pytest

from rankers.types import Run, ScoredDoc
from rlpost.diagnostics.monotony import alike, warnings_of
from rlpost.tasks.base import HeldOut
from rlpost.tasks.held_out import BeforeAfter

SHOWN = "abcde"


def run_of(orders: Sequence[str]) -> Run:
    """Query -> its documents, whose ids are letters of their own in every query."""
    return {
        str(q): [ScoredDoc(f"{letter}{q}", -float(rank)) for rank, letter in enumerate(order)]
        for q, order in enumerate(orders)
    }


def shown(count: int) -> Run:
    return run_of([SHOWN] * count)


@pytest.mark.parametrize(
    ("orders", "says"),
    [
        (["dbcae"] * 27 + ["abcde"] * 3, "27 of 30 .* same order of places, 4 2 3 1 5: "),
        (["abcde"] * 30, "30 of 30 .* same order of places, 1 2 3 4 5: "),
        (["dbcae", "dcbae", "daebc"] * 10, "30 of 30 .* begin with the same of their places, 4: "),
        (["dbcae"] * 26 + ["abcde"] * 4, None),
        (["abcde", "bacde", "cabde"] * 10, None),
        (["dbcae"] * 19, None),
        (["ba"] * 30, None),
    ],
)
def test_one_order_of_places_for_all_lists(orders: list[str], says: str | None) -> None:
    found = alike(run_of(orders), shown(len(orders)))
    assert (found is None) == (says is None)
    assert says is None or re.search(says, str(found))


def test_lists_of_a_catalogue_are_alike_by_their_items() -> None:
    popular: Run = {str(q): [ScoredDoc(item, 0.0) for item in "xyz"] for q in range(40)}
    found = alike(popular, None)
    assert found is not None
    assert "40 of 40 held-out lists have the same order of documents, x y z: " in found
    assert alike(run_of(["abc"] * 40), None) is None  # other documents in every list


def test_an_order_below_chance_is_told() -> None:
    held_out = HeldOut(
        prompts=(),
        rank=lambda prompt, completion: [],
        qrels={},
        baselines={"shuffled": shown(30)},
        name="toy",
        shown="shuffled",
        chance="shuffled",
    )

    def outcome(after: float) -> BeforeAfter:
        return BeforeAfter(
            before={"RR": 0.5},
            after={"RR": after},
            delta={},
            baselines={"shuffled": {"RR": 0.3243}},
            margins={},
        )

    run = run_of(["abcde", "bacde", "cabde"] * 10)
    (found,) = warnings_of(run, held_out, outcome(0.2803), ["RR"])
    assert found == "RR after training, 0.2803, is below that of a random order, 0.3243"
    assert warnings_of(run, held_out, outcome(0.33), ["RR"]) == []
