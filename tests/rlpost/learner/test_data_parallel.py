"""Learners that share a step: the same update as one learner's, and the share of the work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor

from rlpost.learner.data_parallel import Alone, TorchRanks, share
from rlpost.learner.optim import OptimSettings
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

REWARDS = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0, 0.5], [0.7, 0.7], [0.0, 0.5, 1.0]]
CHOICES: dict[str, Any] = {
    "correction": {"kind": "truncated", "normalise": True},
    "rejections": [{"kind": "m2po", "threshold": 0.04}],
    "rejected": "absent",
    "top_entropy": 0.5,
    "entropy": {"kind": "fixed", "coefficient": 0.05},
    "kl": {"kind": "k3", "coefficient": 0.05},
    "epochs": 2,
    "minibatches": 2,
    "tokens_per_batch": 64,
    "optim": OptimSettings(learning_rate=1.0, epsilon=1.0, max_grad_norm=0.1, weight_decay=0.01),
}


def test_shares_cover_all_once_and_keep_neighbours_together() -> None:
    sizes = [5, 5, 10, 1, 1, 8]
    ranks = [OneOf(rank, 3) for rank in range(3)]
    parts = [share(sizes, rank) for rank in ranks]
    assert parts == [[0, 1], [2], [3, 4, 5]]
    assert share(sizes, Alone()) == list(range(6))
    assert sorted(i for rank in ranks for i in share([3], rank)) == [0]
    assert [share([], rank) for rank in ranks] == [[], [], []]


class OneOf(Alone):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


class CountedRanks(TorchRanks):
    sums = 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        self.sums += 1
        super().add(tensors)


def two_steps(folder: Path, stale_by: int, ranks: Any) -> dict[str, Any]:
    """Metrics and weights after two steps on groups of a policy ``stale_by`` steps away."""
    other = tiny_learner(folder)
    for seed in range(stale_by):
        other.step(random_groups(other, REWARDS, seed=10 + seed))
    learner = tiny_learner(folder, ranks=ranks, **CHOICES)
    metrics = [learner.step(random_groups(other, REWARDS, seed=seed)) for seed in range(2)]
    weights = {n: p.detach() for n, p in learner.trained_parameters().items()}
    return {"metrics": metrics, "weights": weights}


def one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    ranks = CountedRanks()
    outcome = two_steps(folder, 2, ranks)
    torch.save(outcome | {"sums": ranks.sums}, folder / f"rank-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_make_the_update_of_one(tmp_path: Path) -> None:
    folder = tiny_model_dir(tmp_path)
    torch.multiprocessing.spawn(one_of_two, args=(folder,), nprocs=2)
    first, second = (torch.load(folder / f"rank-{rank}.pt") for rank in (0, 1))
    alone = two_steps(folder, 2, Alone())
    # Per step: what was seen; per update, of which there are four: gradients and diagnostics.
    assert first["sums"] == second["sums"] == 2 * (1 + 4 * 2)
    for name, tensor in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], tensor, atol=1e-6, rtol=1e-4)
    for ours, theirs, expected in zip(
        first["metrics"], second["metrics"], alone["metrics"], strict=True
    ):
        assert ours == theirs
        assert ours == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert expected["rejection/kept"] < 1
