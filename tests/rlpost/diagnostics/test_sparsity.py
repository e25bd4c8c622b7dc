"""Sparsity, overlap and rank of updates: against the official script, and by hand."""

import pytest
import torch
from torch import Tensor

from rlpost.diagnostics.sparsity import overlap, product_rank, sparsity, unchanged
from tests.golden import golden, needs_golden

DTYPES = {"torch.float32": torch.float32, "torch.bfloat16": torch.bfloat16}


def models() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    data = golden()["sparsity"]
    weights, delta = torch.tensor(data["w0"]), torch.tensor(data["dw"])
    bias = torch.zeros(2)
    return {"w": weights, "b": bias}, {"w": weights + delta, "b": bias}


@needs_golden
@pytest.mark.parametrize("name", DTYPES)
def test_shares_equal_the_official_script(name: str) -> None:
    """Rounding makes three of eight changes disappear, and one four times as large."""
    before, after = models()
    expected = golden()["sparsity"]["result"][name]
    tolerances = {"exact_zero": 0.0} | {key: float(key[3:]) for key in expected if key[:3] == "tol"}
    assert len(tolerances) == 6
    for key, tolerance in tolerances.items():
        share = sparsity(before, after, dtype=DTYPES[name], tolerance=tolerance)
        assert share == pytest.approx(expected[key]), key
    for key, nonzero in expected["nonzero_fraction"].items():
        equal = unchanged(before[key], after[key], dtype=DTYPES[name])
        assert 1 - equal / before[key].numel() == pytest.approx(nonzero)


def test_equal_models_and_models_that_do_not_compare() -> None:
    model = {"w": torch.randn(3, 2), "b": torch.randn(2)}
    assert sparsity(model, model, dtype=torch.float32) == 1
    with pytest.raises(ValueError, match="'b'"):
        sparsity(model, {"w": model["w"]}, dtype=torch.float32)
    with pytest.raises(ValueError, match="'w'"):
        sparsity(model, model | {"w": torch.randn(2, 3)}, dtype=torch.float32)


def test_overlap_by_hand() -> None:
    first = torch.tensor([[True, True, False, False]])
    second = torch.tensor([[True, False, True, True]])
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    found = overlap([(first, second), (nothing, first)])
    assert found.of_first == 1 / 2
    assert found.of_second == 1 / 5
    assert found.chance_of_first == pytest.approx((2 * 3 / 4) / 2)
    assert found.chance_of_second == pytest.approx((2 * 3 / 4) / 5)
    assert overlap([(nothing, nothing)]) == (0, 0, 0, 0)


def test_rank_of_a_product_is_that_of_the_matrix_it_makes() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(20, 6).double(), torch.randn(6, 30).double()
    left[:, 4] = 2 * left[:, 1]
    right[5] = 0
    assert product_rank(left, right) == torch.linalg.matrix_rank(left @ right) == 4
    assert product_rank(torch.zeros(20, 6), right) == 0
