"""The order of an endless prompt stream: every epoch visits each id once, in its own order."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlpost.rollout.seeding import seed_at


class Epochs:
    """Addressable and seeded: position ``index`` is the same id on any machine layout."""

    def __init__(self, ids: Sequence[str], *, seed: int) -> None:
        self._ids = list(ids)
        self._seed = seed
        self._order: tuple[int, list[str]] = (-1, [])

    def __len__(self) -> int:
        return len(self._ids)

    def epoch(self, index: int) -> int:
        return index // len(self._ids)

    def at(self, index: int) -> tuple[int, str]:
        """(epoch, id) at position ``index`` of the stream."""
        epoch, position = divmod(index, len(self._ids))
        if self._order[0] != epoch:
            order = list(self._ids)
            random.Random(seed_at(self._seed, "epoch", epoch)).shuffle(order)
            self._order = (epoch, order)
        return epoch, self._order[1][position]
