"""Algorithms that `rlpost check` refuses, and their neighbours that it accepts."""

from typing import Any

import pytest

from rankers.errors import UserError
from rlpost.config import parse
from rlpost.config.run import RunConfig


def check(algorithm: dict[str, Any], **others: Any) -> RunConfig:
    return parse({"algorithm": algorithm, **others}, origin="test")


GSPO = {"kind": "gspo"}
CLIP = {"kind": "clip"}
TOKEN_BOUNDS = {"kind": "bounds", "scope": "token", "high": 2.0}
MEAN_BOUNDS = {"kind": "bounds", "scope": "mean", "low": 0.9, "high": 1.1}
BF16 = {"model": {"dtype": "bfloat16"}}


@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        ({"objective": GSPO, "correction": {"kind": "truncated"}}, "correction.level=token"),
        ({"objective": GSPO, "rejections": [TOKEN_BOUNDS]}, "rejections .by token."),
        ({"objective": GSPO, "rejections": [{"kind": "m2po", "threshold": 0.04}]}, "by token"),
        ({"objective": {"kind": "gmpo"}, "top_entropy": 0.2}, "has one ratio for a whole sequence"),
        (
            {"objective": {"kind": "vespo"}, "correction": {"kind": "masked", "level": "sequence"}},
            "multiplies the weights of a sequence's tokens itself",
        ),
        ({"correction": {"kind": "masked", "low": 3.0}}, "low 3 is not below high 2"),
        ({"rejections": [MEAN_BOUNDS | {"low": 1.1}]}, "rejections .bounds.: low 1.1"),
        ({"entropy": {"kind": "adaptive", "low": 1.0}}, "entropy: low 1 is not below high 1"),
        ({"rejected": "absent"}, "names none: add one"),
        (
            {"kl": {"kind": "k1", "coefficient": 0.1, "where": "reward", "bias_correction": True}},
            "weighs a term of the loss",
        ),
        ({"kl": {"kind": "k1", "coefficient": 0.1}}, "same gradient whatever the reference"),
        (
            {"objective": {"kind": "reinforce"}, "correction": {"kind": "unweighted"}},
            "'reinforce' has none",
        ),
        ({"objective": CLIP | {"delta": 1.1}}, "delta 1.1 is not above 1 . high = 1.2"),
        ({"objective": CLIP | {"high": 0.5, "delta": 1.5}}, "delta 1.5 is not above"),
        ({"objective": CLIP | {"delta": 4.0, "dual": 3.0}}, "where delta would never act"),
        ({"objective": CLIP | {"delta": 2.0, "dual": 3.0}}, "where dual would never act"),
        ({"objective": {"kind": "cispo", "cap": 0.2}}, "greater than or equal to 1"),
        ({"correction": {"kind": "masked", "high": 0.9}}, "from 0 to 0.9 shut out 1"),
        ({"correction": {"kind": "masked", "high": 1.0}}, "from 0 to 1 shut out 1"),
        ({"correction": {"kind": "truncated", "low": 1.5}}, "from 1.5 to 2 shut out 1"),
        ({"rejections": [MEAN_BOUNDS | {"low": 1.05}]}, "ratios from 1.05 to 1.1 shut out"),
        (
            {"rejections": [TOKEN_BOUNDS | {"divergence": "k3", "low": 0.1}]},
            "whose k3 is 0: use low=0",
        ),
        (
            {"entropy": {"kind": "adaptive", "initial": 2.0}},
            "initial 2 is outside low 0 to high 1",
        ),
        (
            {
                "kl": {"kind": "k1", "coefficient": 0.1, "where": "reward"},
                "credit": {"kind": "gdpo", "weights": {"ndcg": 1.0}},
            },
            "'gdpo' does not read",
        ),
    ],
)
def test_refused(algorithm: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(algorithm)


@pytest.mark.parametrize(
    "algorithm",
    [
        {"objective": GSPO, "correction": {"kind": "truncated", "level": "geometric"}},
        {"objective": GSPO, "rejections": [MEAN_BOUNDS], "rejected": "absent"},
        {"objective": {"kind": "gspo_token"}, "top_entropy": 0.2},
        {"objective": {"kind": "vespo"}, "correction": {"kind": "truncated"}},
        {"kl": {"kind": "k1", "coefficient": 0.1, "where": "reward"}},
        {"kl": {"kind": "k1", "coefficient": 0.1, "bias_correction": True}},
        {"kl": {"kind": "absolute", "coefficient": 0.1}},
        {"objective": {"kind": "reinforce"}, "correction": {"kind": "truncated"}},
        {"objective": {"kind": "cispo"}, "correction": {"kind": "unweighted"}},
        {"objective": {"kind": "clip", "delta": 1.25}},
        {"objective": {"kind": "cispo", "cap": 1.0}},
        {"correction": {"kind": "truncated", "high": 1.0}},
        {"rejections": [{"kind": "bounds", "divergence": "k2", "scope": "mean", "high": 0.01}]},
        {"entropy": {"kind": "adaptive", "initial": 0.5}},
        {"entropy": {"kind": "adaptive"}, "sequence_mask": {"threshold": 0.02}},
    ],
)
def test_accepted(algorithm: dict[str, Any]) -> None:
    assert check(algorithm).algorithm


def test_a_clip_band_must_be_wider_than_rounding() -> None:
    """bfloat16 has 8 significant bits: 3e-4 from 1 is no number of it, 0.2 is."""
    with pytest.raises(UserError, match=r"low 0.0003 and high 0.0004 from 1.*bfloat16"):
        check({"objective": GSPO}, **BF16)
    with pytest.raises(UserError, match=r"band 0\.01 from 1"):
        check({"objective": {"kind": "gmpo", "band": 0.01}}, **BF16)
    assert check({"objective": GSPO})
    assert check({"objective": {"kind": "clip"}}, **BF16)
    assert check({"objective": GSPO, "correction": {"kind": "unweighted"}}, **BF16)
    with pytest.raises(UserError, match="float32 resolves ratios"):
        check({"objective": {"kind": "clip", "low": 1e-7}})
