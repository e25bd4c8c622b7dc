"""Credit arithmetic: by hand, against the official code, and what it must not react to."""

import math
import re

import numpy as np
import pytest

from rlpost.credit.advantages import gdpo, group_mean, is_degenerate, leave_one_out
from tests.golden import golden, needs_golden

NAN = math.nan


def test_by_hand() -> None:
    assert group_mean([[1.0, 3.0, 5.0]], scale="none")[0].tolist() == [-2, 0, 2]
    assert leave_one_out([[1.0, 3.0, 5.0]])[0].tolist() == [-3, 0, 3]
    standardised = group_mean([[1.0, 3.0, 5.0]], epsilon=0.0)[0]
    np.testing.assert_allclose(standardised, [-1, 0, 1])


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.0, -2.3, 1e30])
@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 12])
@pytest.mark.parametrize("scale", ["group_std", "batch_std", "none"])
def test_equal_rewards_teach_exactly_nothing(value, size, scale) -> None:
    groups = [[value] * size, [0.0, 1.0]]
    assert group_mean(groups, scale=scale)[0].tolist() == [0.0] * size
    assert leave_one_out(groups, scale=scale)[0].tolist() == [0.0] * size
    assert is_degenerate(groups[0])
    assert not is_degenerate(groups[1])


def test_nan_means_not_applicable() -> None:
    with_nan = group_mean([[1.0, NAN, 0.0, 2.0]])[0]
    without = group_mean([[1.0, 0.0, 2.0]])[0]
    assert with_nan[1] == 0
    np.testing.assert_array_equal(with_nan[[0, 2, 3]], without)
    assert group_mean([[NAN, NAN], [NAN, 3.0]], scale="batch_std")[1].tolist() == [0, 0]
    assert is_degenerate([NAN, 1.0, 1.0])


@pytest.mark.parametrize("scale", ["group_std", "batch_std", "none"])
@pytest.mark.parametrize("credit", [group_mean, leave_one_out])
def test_a_shift_and_the_order_of_siblings_do_not_matter(credit, scale) -> None:
    groups = [[0.25, 1.0, 0.5, 0.125], [0.0, 1.0]]
    order = [2, 0, 3, 1]
    base = credit(groups, scale=scale)[0]
    shifted = credit([[r + 8.0 for r in group] for group in groups], scale=scale)[0]
    permuted = credit([[groups[0][i] for i in order], groups[1]], scale=scale)[0]
    np.testing.assert_allclose(shifted, base, atol=1e-12)
    np.testing.assert_allclose(permuted, base[order], atol=1e-12)


def test_no_groups_no_credit() -> None:
    assert group_mean([], scale="batch_std") == []


@needs_golden
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("case", ["binary_G4", "nan_row_G4", "two_funcs_w1_0.5_G4"])
def test_equals_trl(case, scale) -> None:
    data = golden()["trl_advantages"][f"{case}_{scale}"]
    table = np.array(data["rewards"])
    rewards = np.nansum(table * data["weights"], axis=1)
    rewards[np.isnan(table).all(axis=1)] = NAN
    groups = rewards.reshape(-1, data["G"]).tolist()
    ours = np.concatenate(group_mean(groups, scale={"none": "none"}.get(scale, f"{scale}_std")))
    np.testing.assert_allclose(ours, data["adv"], atol=1e-6)


@needs_golden
def test_gdpo_equals_trl() -> None:
    data = golden()["trl_advantages"]["two_funcs_gdpo_normalize_then_sum"]
    groups = [data["rewards"][i : i + data["G"]] for i in range(0, 8, data["G"])]
    ours = np.concatenate(gdpo(groups, weights_K=data["weights"]))
    np.testing.assert_allclose(ours, data["adv"], atol=1e-6)


@needs_golden
def test_unequal_groups_equal_verl_but_for_the_singleton() -> None:
    """A group of one gets 0 here; verl calls its mean 0, so its reward becomes its advantage."""
    data = golden()["verl_grpo_adv"]
    rewards = np.array(data["token_rewards"]).sum(axis=1)
    index = np.array(data["index"])
    members = [np.flatnonzero(index == name) for name in ("a", "b", "c")]
    groups = [rewards[m].tolist() for m in members]
    for key, ours in {
        "std": group_mean(groups, epsilon=1e-6),
        "nostd": group_mean(groups, scale="none"),
        "rloo": leave_one_out(groups),
    }.items():
        theirs = np.array(data[key])[:, 0]
        for member, advantages in zip(members[:2], ours[:2], strict=True):
            np.testing.assert_allclose(advantages, theirs[member], atol=1e-6)
        assert ours[2].tolist() == [0.0]


@needs_golden
@pytest.mark.parametrize("scale", ["group_std", "batch_std", "none"])
@pytest.mark.parametrize("name", golden().get("zero_variance_phantom_advantage", ()))
def test_equal_rewards_have_no_phantom_advantage(name, scale) -> None:
    """The formula in float32 gives up to 0.1 for these; also beside a group that varies."""
    value, size = re.fullmatch(r"value(.*)_G(\d+)_float32", name).groups()
    equal = [float(np.float32(value))] * int(size)
    ours, _ = group_mean([equal, [0.0, 1.0]], scale=scale)
    expected = golden()["zero_variance_phantom_advantage"][name]["expected"]
    assert ours.tolist() == [expected] * int(size)
