"""Ages of groups and of tokens, by hand."""

import dataclasses

import pytest

from rlpost.diagnostics.staleness import staleness_metrics
from rlpost.tracking.metrics import metric
from rlpost.types import Completion, Group, GroupKey, Prompt, Rollout, Score, Ticket


def group(*versions: tuple[int, ...]) -> Group:
    prompt = Prompt(id="p", messages=(), token_ids=(1,))
    completion = Completion(token_ids=(), logprobs_T=(), versions_T=(), finish="stop", text="")
    rollouts = tuple(
        Rollout(
            completion=dataclasses.replace(
                completion,
                token_ids=(1,) * len(versions_T),
                logprobs_T=(0.0,) * len(versions_T),
                versions_T=versions_T,
            ),
            score=Score(total=0.0),
        )
        for versions_T in versions
    )
    return Group(
        ticket=Ticket(index=0, key=GroupKey("r", 0, "p", 0), prompt=prompt), rollouts=rollouts
    )


def test_a_histogram_of_tokens_and_the_age_of_groups() -> None:
    found = staleness_metrics([group((3, 3, 4), (4,)), group((2, 4, 4, 4))], version=4)
    assert found == pytest.approx(
        {
            "staleness/mean": 1.5,
            "staleness/max": 2.0,
            "staleness/share/0": 5 / 8,
            "staleness/share/1": 2 / 8,
            "staleness/share/2": 1 / 8,
        }
    )
    for name in found:
        metric(name)


def test_on_policy_everything_is_new_and_nothing_is_no_error() -> None:
    assert staleness_metrics([group((5, 5))], version=5)["staleness/share/0"] == 1
    assert staleness_metrics([group((5,), ())], version=5)["staleness/max"] == 0
    assert "staleness/share/0" not in staleness_metrics([group(())], version=5)
