"""Shares of clipped tokens, against those that TRL and verl report for the same tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlpost.batch.sampled_tokens import SampledTokens
from rlpost.objective.aggregation import Totals
from rlpost.objective.clipping import CLIPS, clips_of
from rlpost.objective.losses import OBJECTIVES
from tests.golden import Fixture, golden, needs_golden

CLIP = {"kind": "clip"}
GSPO = {"kind": "gspo"}
OF_TRL: dict[str, dict[str, Any]] = {
    "grpo_token": CLIP,
    "bnpo_token": CLIP,
    "dr_grpo_token": CLIP,
    "dapo_token": CLIP,
    "dapo_cliphigher_0.2_0.28": CLIP | {"high": 0.28},
    "grpo_token_delta1.3": CLIP | {"delta": 1.3},
    "gspo_seq_grpo_eps3e-4_4e-4": GSPO,
    "gspo_seq_grpo_eps0.2": GSPO | {"low": 0.2, "high": 0.2},
    "gspo_seq_with_dapo_agg_eps0.2": GSPO | {"low": 0.2, "high": 0.2},
    "luspo_seq_eps0.2": GSPO | {"low": 0.2, "high": 0.2},
    "gmpo_eps0.4": {"kind": "gmpo", "band": 0.4},
}


def shares(
    objective: dict[str, Any], sampled: SampledTokens, new_T: torch.Tensor
) -> dict[str, float]:
    clips = clips_of(objective)
    assert clips is not None
    return clips.shares(clips.counts(new_T, sampled), Totals.of(sampled.lengths_S.tolist()))


@needs_golden
@pytest.mark.parametrize("case", OF_TRL)
def test_trl_reports_the_same(case: str) -> None:
    fixture = Fixture()
    ours = shares(OF_TRL[case], fixture.sampled(), fixture.new)
    theirs = golden()["trl_loss"][case]["metrics"]
    for name in ("low", "high", "region"):
        assert ours[f"clip_ratio/{name}"] == pytest.approx(theirs[f"clip_ratio/{name}_mean"])


@needs_golden
@pytest.mark.parametrize(("case", "cap"), [("cispo_epshigh5", 5.0), ("cispo_epshigh1.2", 1.2)])
def test_trl_reports_the_same_for_cispo(case: str, cap: float) -> None:
    fixture = Fixture()
    ours = shares({"kind": "cispo", "cap": cap}, fixture.sampled(), fixture.new)
    theirs = golden()["trl_loss"][case]["metrics"]["cispo_clip_ratio"]
    assert ours["clip_ratio/high"] == ours["clip_ratio/region"] == pytest.approx(theirs)
    assert ours["clip_ratio/low"] == 0


@needs_golden
@pytest.mark.parametrize(
    ("case", "objective"),
    [
        ("cispo", {"kind": "cispo_band", "low": 0.2, "high": 0.2}),
        ("vanilla_dualclip_c1.1", CLIP | {"dual": 1.1}),
        ("geo_mean_eps0.4", {"kind": "gmpo", "band": 0.4}),
    ],
)
def test_verl_reports_the_same(case: str, objective: dict[str, Any]) -> None:
    fixture = Fixture()
    ours = shares(objective, fixture.sampled(), fixture.new)
    theirs = golden()["verl_loss"][case]["metrics"]
    assert ours["clip_ratio/region"] == pytest.approx(theirs["actor/pg_clipfrac"])
    if "dual" in objective:
        assert ours["clip_ratio/cap"] == pytest.approx(theirs["actor/pg_clipfrac_lower"])


RATIOS = torch.tensor([0.5, 0.9, 1.5, 3.0, 0.5, 0.9, 1.5, 3.0, 0.5, 3.0], dtype=torch.float64)
SIGNS = torch.tensor([1.0] * 4 + [-1.0] * 4 + [0.0] * 2, dtype=torch.float64)
ZEROS = torch.zeros(10, dtype=torch.float64)
TOKENS = SampledTokens(
    behaviour_T=ZEROS, old_T=ZEROS, advantages_T=SIGNS, lengths_S=torch.tensor([4, 4, 2])
)


@pytest.mark.parametrize(
    ("objective", "low", "high", "cap"),
    [
        (CLIP, 1, 2, None),
        (CLIP | {"low": 0.05, "high": 0.6}, 2, 1, None),
        (CLIP | {"delta": 2.0}, 1, 2, 1),
        (CLIP | {"dual": 1.4}, 1, 2, 2),
        (CLIP | {"delta": 4.0, "dual": 5.0}, 1, 2, 0),
        ({"kind": "cispo", "cap": 2.0}, 0, 1, None),
        ({"kind": "cispo_band"}, 2, 4, None),
        ({"kind": "gmpo"}, 1, 2, None),
    ],
)
def test_by_hand(objective: dict[str, Any], low: int, high: int, cap: int | None) -> None:
    """Ratios 0.5, 0.9, 1.5 and 3 with each sign; what has no credit is in the whole alone."""
    found = shares(objective, TOKENS, RATIOS.log())
    expected = {"low": low / 10, "high": high / 10, "region": (low + high) / 10}
    if cap is not None:
        expected["cap"] = cap / 10
    assert found == pytest.approx({f"clip_ratio/{k}": v for k, v in expected.items()})


def test_sequences_and_ranks_have_one_ratio() -> None:
    new_T = torch.tensor(
        [0.5, 0.5, 0.5, 0.5, -0.5, -0.5, -0.5, -0.5, 0.5, 0.5], dtype=torch.float64
    )
    assert shares(GSPO, TOKENS, new_T) == pytest.approx(
        {"clip_ratio/low": 1 / 3, "clip_ratio/high": 1 / 3, "clip_ratio/region": 2 / 3}
    )
    tokenwise = shares({"kind": "gspo_token"}, TOKENS, new_T)
    assert tokenwise["clip_ratio/low"] == tokenwise["clip_ratio/high"] == 0.4
    assert shares({"kind": "rank_grpo"}, TOKENS, new_T) == tokenwise


def test_an_objective_is_in_the_table_or_bounds_no_ratio() -> None:
    assert OBJECTIVES.keys() - CLIPS.keys() == {"reinforce", "sapo", "vespo"}
    assert clips_of({"kind": "sapo"}) is None


def test_what_is_counted_is_where_the_gradient_vanishes() -> None:
    """Of tokens with credit, for the objectives that clip by taking the gradient away."""
    generator = torch.Generator().manual_seed(0)
    new_T = torch.randn(200, generator=generator, dtype=torch.float64) * 0.3
    advantages_T = torch.randn(200, generator=generator, dtype=torch.float64)
    zeros_T = torch.zeros_like(new_T)
    sampled = SampledTokens(
        behaviour_T=zeros_T, old_T=zeros_T, advantages_T=advantages_T, lengths_S=torch.tensor([200])
    )
    leaf_T = new_T.requires_grad_()
    loss_T = OBJECTIVES["clip"](leaf_T, sampled, low=0.2, high=0.28, delta=1.5)
    (gradient_T,) = torch.autograd.grad(loss_T.sum(), leaf_T)
    found = shares(CLIP | {"low": 0.2, "high": 0.28, "delta": 1.5}, sampled, new_T.detach())
    share = float((gradient_T == 0).double().mean())
    assert found["clip_ratio/region"] + found["clip_ratio/cap"] == pytest.approx(share)
    assert found["clip_ratio/cap"] > 0
