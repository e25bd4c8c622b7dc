"""Full weights of a policy: ``base + B A * alpha / rank``, in fp32, from the untouched base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from rlpost.adapters import Adapter


def merged(
    base: Mapping[str, torch.Tensor], adapter: Adapter
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight of ``base`` (fp32, under checkpoint names), with the adapter's change added.

    Merging into bf16, or on top of an earlier merge, would round RL-sized changes away: a change of
    1e-4 per entry keeps a relative error of 0.9.
    """
    changed = {f"{module}.weight": pair for module, pair in adapter.pairs.items()}
    for name, weight in base.items():
        pair = changed.get(name)
        yield name, weight if pair is None else weight + adapter.scale * (pair.B @ pair.A)
