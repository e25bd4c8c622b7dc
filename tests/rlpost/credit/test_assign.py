"""From groups to samples: order, tokens, and the credit that reads the parts of a reward."""

import math
from collections.abc import Mapping

import pytest

from rlpost.credit.assign import CREDIT, gdpo, group_mean
from rlpost.types import Completion, Group, GroupKey, Prompt, Rollout, Score, Ticket


def group(index: int, scores: list[Score]) -> Group:
    prompt = Prompt(id=f"p{index}", messages=(), token_ids=(index, 1))
    rollouts = tuple(
        Rollout(
            completion=Completion(
                token_ids=(7,) * (i + 1),
                logprobs_T=(-0.5,) * (i + 1),
                versions_T=(0,) * (i + 1),
                finish="stop",
                text="",
            ),
            score=score,
        )
        for i, score in enumerate(scores)
    )
    ticket = Ticket(index=index, key=GroupKey("run", 0, prompt.id, 0), prompt=prompt)
    return Group(ticket=ticket, rollouts=rollouts)


def totals(*values: float) -> list[Score]:
    return [Score(total=value) for value in values]


def test_samples_by_hand() -> None:
    samples = group_mean([group(0, totals(1, 3)), group(1, totals(2, 2))], scale="none")
    assert [s.prompt_ids for s in samples] == [(0, 1), (0, 1), (1, 1), (1, 1)]
    assert [s.completion_ids for s in samples] == [(7,), (7, 7)] * 2
    assert [s.advantages_T for s in samples] == [(-1,), (1, 1), (0,), (0, 0)]
    assert [s.logprobs_T for s in samples] == [(-0.5,), (-0.5, -0.5)] * 2


@pytest.mark.parametrize("kind", ["group_mean", "leave_one_out"])
def test_unequal_groups(kind: str) -> None:
    samples = CREDIT[kind]([group(0, totals(0, 1)), group(1, totals(0, 0, 3))])
    assert len(samples) == 5
    assert sum(s.advantages_T[0] for s in samples) == pytest.approx(0)


def parts(*values: Mapping[str, float]) -> list[Score]:
    return [Score(total=0.0, parts=value) for value in values]


def test_gdpo_lets_a_small_reward_speak() -> None:
    """Parts of any scale count by their weight; a sum of raw parts would hear the first only."""
    scores = parts({"a": 100.0, "b": 0.0}, {"a": 0.0, "b": 0.1}, {"a": 0.0, "b": 0.0})
    first, second, third = gdpo([group(0, scores)], weights={"a": 1.0, "b": 1.0})
    assert first.advantages_T[0] == pytest.approx(second.advantages_T[0], abs=1e-2)
    assert third.advantages_T[0] < -1


def test_a_missing_part_does_not_apply() -> None:
    with_nan = parts({"a": 1.0, "b": math.nan}, {"a": 0.0, "b": 1.0}, {"a": 0.5, "b": 0.0})
    without = parts({"a": 1.0}, {"a": 0.0, "b": 1.0}, {"a": 0.5, "b": 0.0})
    weights = {"a": 1.0, "b": 0.5}
    assert gdpo([group(0, with_nan)], weights=weights) == gdpo([group(0, without)], weights=weights)
