"""Numbers produced by the official implementations, where the shared test data are present."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from rlpost.batch.sampled_tokens import SampledTokens
from tests.paths import SHARED

FILE = SHARED / "golden" / "golden_rl.json"

needs_golden = pytest.mark.skipif(not FILE.is_file(), reason="the golden file is not here")


@cache
def golden() -> dict[str, Any]:
    """The whole file, JSON null as NaN; empty where it is absent, so that tests still collect."""
    return _nan(json.loads(FILE.read_text())) if FILE.is_file() else {}


def _nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan(item) for item in value]
    return math.nan if value is None else value


class Fixture:
    """The file's padded [B, T] inputs as packed float64 tokens: padding is simply not there."""

    def __init__(self) -> None:
        data = golden()["fixture"]
        self.mask = torch.tensor(data["mask"], dtype=torch.bool)
        self.lengths = self.mask.sum(dim=1)
        self.new = self.pack(data["new_logps"])
        self.old = self.pack(data["old_logps"])
        self.ref = self.pack(data["ref_logps"])
        self.behaviour = self.pack(data["sampling_logps"])
        advantages = torch.tensor(data["advantages"], dtype=torch.float64)
        self.advantages = advantages.repeat_interleave(self.lengths)

    def pack(self, rows: Any) -> Tensor:
        """[B, T] padded -> [T] packed."""
        return torch.tensor(rows, dtype=torch.float64)[self.mask]

    def sampled(self, old_T: Tensor | None = None) -> SampledTokens:
        return SampledTokens(
            behaviour_T=self.behaviour,
            old_T=self.old if old_T is None else old_T,
            advantages_T=self.advantages,
            lengths_S=self.lengths,
        )
