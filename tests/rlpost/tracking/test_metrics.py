"""The glossary of metrics, folding, and the numbers a step's groups yield by themselves."""

import math

import pytest

from rlpost.tracking.metrics import METRICS, fold, group_metrics, metric
from tests.example_run import group


def test_group_metrics_by_hand() -> None:
    metrics = group_metrics([group(0, (1.0, 0.0)), group(1, (0.5, 0.5))])
    assert metrics["reward/mean"] == 0.5
    assert metrics["reward/std"] == pytest.approx(math.sqrt((0.25 + 0.25) / 3))
    assert metrics["reward/stderr"] == 0.0  # both groups have mean 0.5
    assert metrics["frac_degenerate_groups"] == 0.5
    assert metrics["completion/length_mean"] == 6.0
    assert metrics["completion/clipped_ratio"] == 0.0
    assert metrics["reward/part/ndcg"] == 0.5


def test_the_standard_error_is_across_groups() -> None:
    groups = [group(i, (mean, mean + 0.1)) for i, mean in enumerate((0.1, 0.3, 0.5))]
    assert group_metrics(groups)["reward/stderr"] == pytest.approx(0.2 / math.sqrt(3))


def test_a_reward_that_does_not_apply_counts_nowhere() -> None:
    metrics = group_metrics([group(0, (1.0, math.nan)), group(1, (0.0, 0.0))])
    assert metrics["reward/mean"] == pytest.approx(1 / 3)
    assert metrics["reward/part/ndcg"] == pytest.approx(1 / 3)


def test_every_name_it_yields_is_in_the_glossary() -> None:
    for name in group_metrics([group(0, (1.0, 0.0))]):
        metric(name)


def test_each_name_folds_its_own_way() -> None:
    reports = [
        {"loss/policy": 0.25, "ratio/max": 1.5, "entropy": 1.0, "lr": 0.1},
        {"loss/policy": 0.5, "ratio/max": 1.2, "entropy": 3.0, "lr": 0.2},
    ]
    assert fold(reports) == {"loss/policy": 0.75, "ratio/max": 1.5, "entropy": 2.0, "lr": 0.2}


def test_families_are_prefixes_with_a_name_after_them() -> None:
    assert metric("eval/nDCG@10").meaning.startswith("held-out")
    with pytest.raises(KeyError):
        metric("eval/")
    with pytest.raises(KeyError):
        metric("reward/ndcg")


def test_the_glossary_is_written_for_people() -> None:
    for name, (_, meaning) in METRICS.items():
        assert len(meaning.split()) >= 4, name
