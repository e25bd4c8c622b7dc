"""What training has done to the weights so far: measured on ``base + B A * scale``, every so often.

A window is what happened between two measurements. Matrices are merged one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rlpost.diagnostics.sparsity import overlap, product_rank, sparsity, unchanged

if TYPE_CHECKING:
    from peft import PeftModel

VIEWS = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = 1e-5
"""Of arXiv 2505.11711, in bfloat16."""


class Factors(NamedTuple):
    A: Tensor
    B: Tensor


WeightSnapshot = Mapping[str, Factors]


class Layer(NamedTuple):
    """A frozen weight [out, in] and the factors B [out, r] and A [r, in] that are trained."""

    base: Tensor
    factors: Factors
    scale: float

    def merged(self, factors: Factors) -> Tensor:
        """With ``factors`` in place of its own, in float32."""
        return self.base.float() + self.scale * (factors.B @ factors.A)


class UpdateDiagnostics:
    """Measures the adapters of a model against its base and against earlier measurements."""

    def __init__(self, model: PeftModel) -> None:
        self._layers = dict(_layers(model))
        self._start = self._snapshot()
        self._marks = [self._start]

    def begin_window(self) -> None:
        """Forget earlier measurements: the adapters were put in place, not trained there."""
        self._marks = [self._snapshot()]

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Names of ``rlpost.tracking.metrics.METRICS``; overlaps once there are two windows."""
        now = self._snapshot()
        report = {**self._sizes(now), **self._ranks(now)}
        *earlier, second = self._marks
        for first in earlier:
            report |= self._overlaps(first, second, now)
        self._marks = [second, now]
        return report

    def _sizes(self, now: WeightSnapshot) -> dict[str, float]:
        counts = dict.fromkeys((*VIEWS, "1e-5"), 0)
        moved = before = total = 0.0
        for name, layer in self._layers.items():
            merged = layer.merged(now[name])
            for view, dtype in VIEWS.items():
                counts[view] += unchanged(layer.base, merged, dtype=dtype)
            counts["1e-5"] += unchanged(
                layer.base, merged, dtype=torch.bfloat16, tolerance=TOLERANCE
            )
            moved += float((merged - layer.base.float()).double().square().sum())
            before += float(layer.base.double().square().sum())
            total += merged.numel()
        adapters = {
            f"update/adapter_unchanged_{view}": sparsity(
                _flat(self._start), _flat(now), dtype=dtype
            )
            for view, dtype in VIEWS.items()
        }
        return {
            **{f"update/unchanged_{view}": count / total for view, count in counts.items()},
            **adapters,
            "update/relative_norm": (moved / before) ** 0.5,
        }

    def _ranks(self, now: WeightSnapshot) -> dict[str, float]:
        ranks = [product_rank(factors.B, factors.A) for factors in now.values()]
        shares = [
            rank / min(self._layers[name].base.shape) for name, rank in zip(now, ranks, strict=True)
        ]
        return {
            "update/rank": sum(ranks) / len(ranks),
            "update/rank_share": sum(shares) / len(shares),
        }

    def _overlaps(
        self, first: WeightSnapshot, second: WeightSnapshot, now: WeightSnapshot
    ) -> dict[str, float]:
        report = {}
        for view, dtype in VIEWS.items():
            found = overlap(self._changes(first, second, now, dtype))
            report[f"update/overlap_{view}"] = found.of_second
            report[f"update/overlap_chance_{view}"] = found.chance_of_second
        return report

    def _changes(
        self, first: WeightSnapshot, second: WeightSnapshot, now: WeightSnapshot, dtype: torch.dtype
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each matrix: changed in the first window, changed in the second."""
        for name, layer in self._layers.items():
            one, two, three = (layer.merged(mark[name]).to(dtype) for mark in (first, second, now))
            yield one != two, two != three

    def _snapshot(self) -> WeightSnapshot:
        return {
            name: Factors(*(matrix.detach().float().clone() for matrix in layer.factors))
            for name, layer in self._layers.items()
        }


def _layers(model: PeftModel) -> Iterator[tuple[str, Layer]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            layer: Any = module
            (adapter,) = layer.lora_A
            factors = Factors(layer.lora_A[adapter].weight, layer.lora_B[adapter].weight)
            base = layer.get_base_layer().weight.detach()
            yield name, Layer(base, factors, layer.scaling[adapter])


def _flat(snapshot: WeightSnapshot) -> dict[str, Tensor]:
    return {
        f"{name}.{letter}": matrix
        for name, factors in snapshot.items()
        for letter, matrix in zip("AB", factors, strict=True)
    }
