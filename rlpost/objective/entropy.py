"""Entropy bonus: a term of the loss that keeps the policy from becoming certain too soon.

The bonus is ``coefficient * mean entropy`` over all completion tokens of an optimizer step,
whatever the aggregation of the objective. A bonus with a controller moves its coefficient after
every optimizer step and remembers it in checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class EntropyBonus(Protocol):
    """Decides how much entropy is worth, in nats of loss per nat."""

    @property
    def coefficient(self) -> float:
        """Of the next optimizer step."""
        ...

    def measured(self, entropy: float) -> None:
        """Mean entropy in nats per token at the optimizer step that was just taken."""
        ...

    def state(self) -> dict[str, float]: ...

    def restore(self, state: Mapping[str, float]) -> None: ...


class FixedBonus:
    """The same coefficient throughout."""

    def __init__(self, *, coefficient: float) -> None:
        self.coefficient = coefficient

    def measured(self, entropy: float) -> None:
        """Nothing follows from it."""

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """There is nothing to restore."""


class AdaptiveBonus:
    """Pushes only while entropy is at or below ``target`` (Skywork-OR1, arXiv 2505.22312).

    After each optimizer step the coefficient grows by ``delta`` if its entropy was at or below the
    target and falls by ``delta`` otherwise, within [low, high]. It is applied at the next step, and
    only if the entropy measured last was at or below the target; so never at the first step.
    """

    def __init__(
        self, *, target: float, delta: float, initial: float, low: float, high: float
    ) -> None:
        self._target, self._delta = target, delta
        self._low, self._high = low, high
        self._held = initial
        self._last = float("inf")

    @property
    def coefficient(self) -> float:
        return self._held if self._last <= self._target else 0.0

    def measured(self, entropy: float) -> None:
        step = self._delta if entropy <= self._target else -self._delta
        self._held = min(max(self._held + step, self._low), self._high)
        self._last = entropy

    def state(self) -> dict[str, float]:
        return {"held": self._held, "last": self._last}

    def restore(self, state: Mapping[str, float]) -> None:
        self._held, self._last = state["held"], state["last"]


ENTROPY: dict[str, Callable[..., EntropyBonus]] = {
    "fixed": FixedBonus,
    "adaptive": AdaptiveBonus,
}
