"""Effective rank: official numbers, hard inputs against an SVD, and its uses."""

import math

import pytest
import torch
from torch import Tensor

from rlpost.credit.effective_rank import (
    RowStream,
    effective_rank,
    growth,
    prefix_effective_ranks,
    response_dynamics,
)
from tests.golden import golden, needs_golden

MATRICES = ("gauss", "repeat_then_decay")


def by_svd(rows: Tensor, *, centre: bool = True) -> float:
    """The definition, word for word, in float64."""
    rows = rows.double()
    if centre:
        rows = rows - rows.mean(dim=0)
    singular = torch.linalg.svdvals(rows)
    shares = [float(s / singular.sum()) for s in singular]
    return math.exp(-sum(p * math.log(p) for p in shares if p > 0))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@needs_golden
@pytest.mark.parametrize("name", MATRICES)
def test_official_numbers(name: str) -> None:
    """By the official SVD route: its Gram route is off by up to 0.006 here (log(p + 1e-8) by less
    than 1e-5).
    """
    case = golden()["verl_er"][name]
    hidden = torch.tensor(case["H"])
    assert effective_rank(hidden) == pytest.approx(case["ER_full"], abs=1e-5)
    prefixes = prefix_effective_ranks(hidden, case["prefix_lengths"])
    assert prefixes == pytest.approx(case["prefix_ER_svd"], abs=1e-5)
    dynamics = response_dynamics(hidden, stride=case["stride"])
    assert dynamics.rank == pytest.approx(case["ER_full"], abs=1e-5)
    velocity, acceleration = case["erv_list_original"], case["era_list_original"]
    assert dynamics.velocity == pytest.approx(sum(velocity) / len(velocity), abs=1e-5)
    assert dynamics.acceleration == pytest.approx(sum(acceleration) / len(acceleration), abs=1e-5)
    assert dynamics.velocity == pytest.approx(case["ERV"], abs=2e-2)
    assert dynamics.acceleration == pytest.approx(case["ERA"], abs=2e-2)


@needs_golden
def test_official_corner_cases() -> None:
    cases = golden()["verl_er"]
    assert effective_rank(torch.eye(8)) == pytest.approx(cases["identity_rows_n8"]["ER"])
    line = torch.outer(torch.arange(6.0), torch.ones(4))
    assert effective_rank(line) == pytest.approx(cases["rank1"]["ER"])
    assert effective_rank(random(1, 4)) == cases["len1"]["ER"]
    short = response_dynamics(random(8, 8), stride=4)
    assert (short.velocity, short.acceleration) == (0, 0)
    assert cases["short_lt_2stride"]["out"]["Effective Rank diff"] == []


def hard_cases() -> dict[str, Tensor]:
    outliers = random(512, 96) + 50
    outliers[:, :3] *= 100
    return {
        "ill-conditioned": random(200, 64) * torch.logspace(0, -6, 64),
        "wide and ill-conditioned": random(64, 200) * torch.logspace(0, -6, 200),
        "large mean": random(200, 64) + 50,
        "three outlier dimensions, bfloat16": outliers.bfloat16(),
        "three outlier dimensions, wide": outliers.T.contiguous(),
        "tiny": random(40, 8) * 1e-20,
    }


@pytest.mark.parametrize("name", hard_cases())
def test_hard_inputs_equal_a_float64_svd(name: str) -> None:
    """The official float32 Gram route is off by 0.09 and 4.9 on the kind of the first and third."""
    rows = hard_cases()[name]
    assert effective_rank(rows) == pytest.approx(by_svd(rows), abs=1e-9)
    assert effective_rank(rows, centre=False) == pytest.approx(by_svd(rows, centre=False), abs=1e-7)
    lengths = range(2, len(rows) + 1, 37)
    expected = [by_svd(rows[:n]) for n in lengths]
    assert prefix_effective_ranks(rows, lengths) == pytest.approx(expected, abs=1e-9)


def test_invariances() -> None:
    rows = random(30, 12)
    rotation = torch.linalg.qr(random(12, 12, seed=1))[0]
    rank = effective_rank(rows)
    for same in (rows @ rotation, rows.flip(0), rows + 7, rows * 1e4):
        assert effective_rank(same) == pytest.approx(rank, abs=1e-4)
    assert 1 <= rank <= 12
    assert effective_rank(rows[:5]) <= 4


def test_rows_that_do_not_vary_have_rank_0() -> None:
    assert effective_rank(torch.full((20, 5), 0.7)) == 0
    assert effective_rank(torch.full((5, 20), 0.7)) == 0
    assert effective_rank(torch.zeros(6, 3), centre=False) == 0
    assert effective_rank(torch.zeros(0, 3)) == 0
    assert effective_rank(torch.full((20, 5), 0.7), centre=False) == pytest.approx(1)


def test_a_matrix_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        effective_rank(torch.tensor([[1.0, math.nan], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"not of \(2, 3, 4\)"):
        effective_rank(torch.zeros(2, 3, 4))


def test_velocity_and_acceleration_by_hand() -> None:
    """Gains are 5-3, 9-4 and 11-17/3; acceleration telescopes to (last - first) / 2."""
    velocity, acceleration = growth([3.0, 5.0, 9.0, 11.0])
    assert velocity == pytest.approx((2 + 5 + 16 / 3) / 3)
    assert acceleration == pytest.approx(((5 - 2) + (16 / 3 - 5)) / 2)
    assert growth([3.0, 5.0]) == (2.0, 0.0)
    assert growth([3.0]) == growth([]) == (0.0, 0.0)


def test_velocity_sees_the_last_window_and_rank_the_whole() -> None:
    hidden = random(90, 16)
    windowed = response_dynamics(hidden, stride=10, window=60)
    tail = response_dynamics(hidden[-60:], stride=10)
    assert windowed.velocity == pytest.approx(tail.velocity)
    assert windowed.acceleration == pytest.approx(tail.acceleration)
    assert windowed.rank == pytest.approx(by_svd(hidden))
    assert response_dynamics(hidden[:0]) == (0, 0, 0)


def test_a_stream_of_embeddings_equals_all_at_once() -> None:
    """Monitoring of an embedding model: collapsing onto a plane shows, a far mean does not hurt."""
    embeddings = random(300, 24) + 100
    collapsed = embeddings * torch.tensor([1.0] * 2 + [1e-3] * 22)
    for rows in (embeddings, collapsed):
        for centre in (True, False):
            stream = RowStream(centre=centre)
            assert stream.effective_rank() == 0
            for batch in rows.split(70):
                stream.add(batch)
            stream.add(rows[:0])
            expected = by_svd(rows, centre=centre)
            assert stream.effective_rank() == pytest.approx(expected, abs=1e-9)
    assert effective_rank(embeddings) > 20
    assert effective_rank(collapsed) < 2.3


def test_gradients_of_repeated_examples_have_fewer_directions() -> None:
    """Monitoring of gradients: three distinct examples, however often repeated, give three."""
    layer = torch.nn.Linear(16, 10, bias=False)
    examples, labels = random(3, 16).repeat(8, 1), torch.tensor([0, 4, 9]).repeat(8)
    per_sample = []
    for example, label in zip(examples, labels, strict=True):
        loss = torch.nn.functional.cross_entropy(layer(example), label)
        per_sample.append(torch.autograd.grad(loss, layer.weight)[0])
    assert 1 < effective_rank(torch.stack([g.flatten() for g in per_sample]), centre=False) <= 3
    assert 1 < effective_rank(torch.stack(per_sample).sum(dim=0), centre=False) <= 3
    orthogonal = torch.eye(16)[:3] * torch.tensor([[2.0], [1.0], [1.0]])
    exact = math.exp(0.5 * math.log(2) + 0.5 * math.log(4))
    assert effective_rank(orthogonal, centre=False) == pytest.approx(exact)
