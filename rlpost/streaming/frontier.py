"""A set of stream positions that stays small: all below a frontier, and the few beyond it."""

from __future__ import annotations

from collections.abc import Iterable


class CompletedPositions:
    """Positions settled for good. They settle nearly in order, so ``beyond`` stays short."""

    def __init__(self, *, below: int = 0, beyond: Iterable[int] = ()) -> None:
        self._below = below
        self._beyond: set[int] = set()
        for index in beyond:
            self.add(index)

    @property
    def below(self) -> int:
        """Every position smaller than this is a member."""
        return self._below

    @property
    def beyond(self) -> list[int]:
        """Members that are not below the frontier, ascending."""
        return sorted(self._beyond)

    def __contains__(self, index: int) -> bool:
        return index < self._below or index in self._beyond

    def __len__(self) -> int:
        return self._below + len(self._beyond)

    def add(self, index: int) -> None:
        """Settle ``index``. Settling twice is a bug of the caller, who would have trained twice."""
        if index in self:
            raise ValueError(f"position {index} is settled already")
        self._beyond.add(index)
        while self._below in self._beyond:
            self._beyond.remove(self._below)
            self._below += 1
