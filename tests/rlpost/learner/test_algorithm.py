"""Whole algorithms, from choices by name to loss and gradient: against the official code, by hand,
and whatever the split into micro-batches.
"""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.learner.algorithm import Algorithm, algorithm
from rlpost.learner.pre_update_pass import PassResult
from rlpost.objective.aggregation import AGGREGATIONS, Totals
from rlpost.objective.importance_weights import CORRECTIONS
from rlpost.objective.kl import PENALTIES
from rlpost.objective.losses import OBJECTIVES
from tests.golden import Fixture, golden, needs_golden

BASE = {"credit": "group_mean", "objective": "clip", "aggregation": "token_mean"}
UNBOUNDED = {"kind": "truncated", "high": 1e9}
GOLDEN: dict[tuple[str, str], dict[str, Any]] = {
    ("trl_loss", "dapo_token"): {"correction": "unweighted"},
    ("trl_loss", "dapo_vllm_token_mask_min0.8_max1.25"): {
        "correction": {"kind": "masked", "low": 0.8, "high": 1.25}
    },
    ("trl_loss", "vespo_vllm_token_truncate"): {
        "objective": "vespo",
        "correction": {"kind": "truncated", "high": 3.0},
    },
    ("trl_loss", "dapo_opsm0.02"): {
        "correction": "unweighted",
        "sequence_mask": {"kind": "drift", "threshold": 0.02},
    },
    ("trl_loss", "dapo_topentropy0.4"): {"correction": "unweighted", "top_entropy": 0.4},
    ("trl_loss", "grpo_token_beta0.04_k3"): {
        "correction": "unweighted",
        "aggregation": "sequence_mean",
        "kl": {"kind": "k3", "coefficient": 0.04},
    },
    ("trl_loss", "grpo_token_beta0.04_k3_biascorrected"): {
        "correction": "unweighted",
        "aggregation": "sequence_mean",
        "kl": {"kind": "k3", "coefficient": 0.04, "bias_correction": True},
    },
    ("areal", "decoupled_seq_mask_klk3_mean0.05"): {
        "correction": UNBOUNDED,
        "rejections": [
            {"kind": "bounds", "divergence": "k3_reverse", "scope": "mean", "high": 0.05}
        ],
    },
    ("areal", "decoupled_token_mask_ratio_upper1.12"): {
        "correction": UNBOUNDED,
        "rejections": [{"kind": "bounds", "divergence": "ratio", "scope": "token", "high": 1.12}],
    },
}


def chosen(**choices: Any) -> Algorithm:
    return algorithm(**(BASE | choices))


def loss_and_gradients(
    algo: Algorithm, tokens: SampledTokens, new_T: Tensor, entropy_T: Tensor, totals: Totals
) -> tuple[Tensor, Tensor, Tensor]:
    leaf_T, spread_T = new_T.clone().requires_grad_(), entropy_T.clone().requires_grad_()
    loss = algo.loss(leaf_T, spread_T, tokens, totals).total
    gradients = torch.autograd.grad(
        loss, (leaf_T, spread_T), allow_unused=True, materialize_grads=True
    )
    return loss.detach(), *gradients


@needs_golden
@pytest.mark.parametrize("name", GOLDEN, ids="/".join)
def test_equals_the_official_code(name: tuple[str, str]) -> None:
    """The entropies rank the seven tokens highest that TRL's mask left."""
    fixture = Fixture()
    entropy_T = torch.zeros_like(fixture.new)
    entropy_T[[1, 3, 7, 9, 10, 13, 17]] = 1.0
    algo = chosen(**GOLDEN[name])
    seen = PassResult(proximal_T=fixture.old, entropy_T=entropy_T, reference_T=fixture.ref)
    tokens, _ = algo.weighting(fixture.sampled(fixture.behaviour), seen)
    totals = Totals(tokens=18, sequences=4)
    loss, gradient_T, _ = loss_and_gradients(algo, tokens, fixture.new, entropy_T, totals)
    section, key = name
    expected = golden()[section][key]
    assert float(loss) == pytest.approx(expected["loss"], abs=1e-6)
    theirs = fixture.pack(expected["grad_new_logps"])
    torch.testing.assert_close(gradient_T, theirs, atol=1e-6, rtol=0)


LENGTHS = [3, 0, 1, 4, 2]


def step(dtype: torch.dtype = torch.float64) -> tuple[SampledTokens, PassResult, Tensor, Tensor]:
    """(tokens, seen, new_T, entropy_T) of five sequences, one of them empty."""
    torch.manual_seed(0)
    new_T = torch.randn(10, dtype=torch.float64)
    proximal_T, behaviour_T, reference_T = (
        new_T + size * torch.randn(10, dtype=torch.float64) for size in (0.1, 0.4, 0.3)
    )
    lengths_S = torch.tensor(LENGTHS)
    tokens = SampledTokens(
        behaviour_T=behaviour_T.to(dtype),
        old_T=behaviour_T.to(dtype),
        advantages_T=torch.randn(5, dtype=torch.float64).repeat_interleave(lengths_S),
        lengths_S=lengths_S,
    )
    seen = PassResult(
        proximal_T=proximal_T.to(dtype),
        entropy_T=torch.rand(10, dtype=dtype),
        reference_T=reference_T.to(dtype),
    )
    return tokens, seen, new_T.to(dtype), torch.rand(10, dtype=dtype)


REJECTIONS = [
    {"kind": "bounds", "divergence": "ratio", "scope": "token", "low": 0.7, "high": 1.4},
    {"kind": "m2po", "threshold": 0.08},
]
EVERYTHING = {
    "rejections": REJECTIONS,
    "top_entropy": 0.6,
    "sequence_mask": {"kind": "drift", "threshold": 0.2},
    "entropy": {"kind": "fixed", "coefficient": 0.1},
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("rejected", ["counted", "absent"])
def test_the_split_into_micro_batches_does_not_matter(
    objective: str, aggregation: str, rejected: str
) -> None:
    aggregate = {"kind": aggregation} | ({"length": 7} if aggregation == "constant" else {})
    algo = chosen(
        objective=objective,
        aggregation=aggregate,
        correction={"kind": "truncated", "normalise": True},
        rejected=rejected,
        kl={"kind": "k3", "coefficient": 0.3},
        **EVERYTHING,
    )
    tokens, seen, new_T, entropy_T = step()
    tokens, _ = algo.weighting(tokens, seen)
    totals = Totals.of(n for n in tokens.counts_S.tolist() if n or rejected == "counted")
    whole = loss_and_gradients(algo, tokens, new_T, entropy_T, totals)
    for split in ([[0, 1, 2], [3, 4]], [[4, 0], [1], [3, 2]]):
        summed = [torch.zeros_like(part) for part in whole]
        for indices in split:
            places_T = tokens.places(indices)
            part = tokens.take(indices)
            loss, *gradients = loss_and_gradients(
                algo, part, new_T[places_T], entropy_T[places_T], totals
            )
            summed[0] += loss
            for total_T, gradient_T in zip(summed[1:], gradients, strict=True):
                total_T[places_T] += gradient_T
        for ours, theirs in zip(summed, whole, strict=True):
            torch.testing.assert_close(ours, theirs)


CORRECTED = [None, *CORRECTIONS]
PENALISED = [None, *({"kind": kind, "coefficient": 0.1} for kind in PENALTIES)]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gaps_of_100_nats_and_rejected_rows_stay_finite(objective: str, dtype: torch.dtype) -> None:
    """With every correction and penalty; the second sequence has no token, the last is rejected."""
    lengths_S = torch.tensor([2, 0, 2, 1, 2])
    behaviour_T = torch.tensor([0.0, -100.0, 0.0, -100.0, -1.0, -100.0, -100.0], dtype=dtype)
    new_T = torch.tensor([-100.0, 0.0, -100.0, 0.0, -1.0, 0.0, 0.0], dtype=dtype)
    proximal_T = torch.tensor([0.0, -100.0, -100.0, 0.0, -1.0, 0.0, 0.0], dtype=dtype)
    for correction, kl in itertools.product(CORRECTED, PENALISED):
        algo = chosen(objective=objective, correction=correction, kl=kl, **EVERYTHING)
        tokens = SampledTokens(
            behaviour_T=behaviour_T,
            old_T=behaviour_T,
            advantages_T=torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0, -1.0, 1.0]),
            lengths_S=lengths_S,
        )
        seen = PassResult(
            proximal_T=proximal_T, entropy_T=torch.rand(7), reference_T=behaviour_T.flip(0)
        )
        tokens, metrics = algo.weighting(tokens, seen)
        totals = Totals.of(lengths_S.tolist())
        results = loss_and_gradients(algo, tokens, new_T, torch.rand(7), totals)
        assert all(result.isfinite().all() for result in results), (correction, kl)
        assert all(torch.tensor(value).isfinite() for value in metrics.values())
        assert tokens.loss_mask_T is not None
        assert not tokens.loss_mask_T[-2:].any()


@pytest.mark.parametrize(
    ("rejected", "aggregation", "expected"),
    [
        ("counted", "token_mean", [-1 / 6, -2 / 6]),
        ("absent", "token_mean", [-1 / 2, -2 / 2]),
        ("counted", "sequence_mean", [-1 / (3 * 3), -2 / (2 * 3)]),
        ("absent", "sequence_mean", [-1 / 2, -2 / 2]),
        ("counted", "sequence_sum", [-1 / 3, -2 / 3]),
        ("absent", "sequence_sum", [-1 / 2, -2 / 2]),
    ],
)
def test_a_rejected_token_counts_or_was_never_there(
    rejected: str, aggregation: str, expected: list[float]
) -> None:
    """Sequences of 3, 2 and 1 tokens, of which 1, 1 and 0 are kept."""
    algo = chosen(
        aggregation=aggregation,
        objective="reinforce",
        rejected=rejected,
        rejections=[{"kind": "bounds", "divergence": "ratio", "scope": "token", "high": 2.0}],
    )
    tokens = SampledTokens(
        behaviour_T=torch.zeros(6),
        old_T=torch.zeros(6),
        advantages_T=torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 4.0]),
        lengths_S=torch.tensor([3, 2, 1]),
    )
    far = torch.tensor([0.0, 3.0, 3.0, 3.0, 0.0, 3.0])
    tokens, metrics = algo.weighting(tokens, PassResult(proximal_T=far, entropy_T=torch.zeros(6)))
    assert tokens.counts_S.tolist() == ([1, 1, 0] if rejected == "absent" else [3, 2, 1])
    assert metrics["rejection/kept"] == pytest.approx(2 / 6)
    assert metrics["rejection/kept_sequences"] == pytest.approx(2 / 3)
    totals = Totals.of(n for n in tokens.counts_S.tolist() if n)
    _, gradient_T, _ = loss_and_gradients(algo, tokens, torch.zeros(6), torch.zeros(6), totals)
    assert gradient_T.tolist() == pytest.approx([expected[0], 0, 0, 0, expected[1], 0])


def test_the_entropy_bonus_is_the_mean_over_all_tokens_whatever_the_aggregation() -> None:
    for aggregation in ("token_mean", "sequence_mean", "sequence_sum"):
        algo = chosen(aggregation=aggregation, entropy={"kind": "fixed", "coefficient": 0.5})
        tokens, _, new_T, entropy_T = step()
        _, _, gradient_T = loss_and_gradients(algo, tokens, new_T, entropy_T, Totals.of(LENGTHS))
        assert gradient_T.tolist() == pytest.approx([-0.5 / 10] * 10)


def test_weights_of_a_step_are_reported() -> None:
    algo = chosen(correction={"kind": "masked", "low": 0.5, "high": 2.0})
    tokens = SampledTokens(
        behaviour_T=torch.zeros(4),
        old_T=torch.zeros(4),
        advantages_T=torch.ones(4),
        lengths_S=torch.tensor([4]),
    )
    ratios = torch.tensor([1.0, 0.5, 3.0, 1.5])
    seen = PassResult(proximal_T=ratios.log(), entropy_T=torch.zeros(4))
    assert algo.weighting(tokens, seen).metrics == pytest.approx(
        {
            "correction/weight": 0.75,
            "correction/weight_min": 0.0,
            "correction/weight_max": 1.5,
            "correction/kept": 0.75,
            "correction/ess": 9 / (4 * 3.5),
        }
    )
