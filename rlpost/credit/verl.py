"""Advantage shaping: what the policy's hidden states say about a response changes its credit.

VERL (arXiv 2509.23808) adds a bonus to responses whose effective rank is unusually high while it
accelerates (exploration), or whose rank grows unusually fast while it does not (exploitation).
Usual is the running mean of earlier steps. The bonus is at most a share of the advantage: it never
flips a sign and an advantage of 0 stays exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from rlpost.credit.effective_rank import RankDynamics, response_dynamics
from rlpost.credit.shaping import Shaped, Shaping
from rlpost.errors import TrainingError
from rlpost.types import Sample

if TYPE_CHECKING:
    from rlpost.batch.packing import TokenBatch

VerlVariant = Literal["paper", "released"]
ShapingMix = Literal["adaptive", "equal", "sum"]

UNSEEN = RankDynamics(0.0, 0.0, 0.0)
"""Of a response without tokens."""


def bonus(
    dynamics: RankDynamics,
    usual: RankDynamics,
    *,
    mix: ShapingMix = "adaptive",
    gain: float = 2.0,
    bound: float = 5.0,
) -> float:
    """Phi of one response, between -2 and 2: how far it is from ``usual``.

    With d the relative deviation of each measure, kept within ``bound``: beta tanh(d_rank) +
    (1 - beta) tanh(d_velocity), where beta is sigmoid(gain d_acceleration) for ``adaptive`` and 1/2
    for ``equal``; ``sum`` adds both terms in full.
    """
    rank, velocity, acceleration = (
        max(-bound, min(bound, (value - centre) / (abs(centre) + 1e-8)))
        for value, centre in zip(dynamics, usual, strict=True)
    )
    explore, exploit = math.tanh(rank), math.tanh(velocity)
    if mix == "sum":
        return explore + exploit
    beta = 0.5 if mix == "equal" else 1 / (1 + math.exp(-gain * acceleration))
    return beta * explore + (1 - beta) * exploit


def with_bonus(advantage: float, bonus: float, *, kappa: float) -> float:
    """``advantage`` raised by ``bonus``, by |advantage| / kappa at most and never lowered."""
    return advantage + min(max(0.0, bonus), abs(advantage) / kappa)


class RunningMeans:
    """Exponential moving averages of the three measures over the steps of a run."""

    def __init__(self, *, rate: float, debias: bool) -> None:
        self._rate = rate
        self._debias = debias
        self._sums = UNSEEN
        self._steps = 0

    def usual(self) -> RankDynamics | None:
        """The averages, or None while there is nothing to average.

        They start at 0 and grow into place, so that the first responses seem to stick out;
        ``debias`` divides that out, as Adam does.
        """
        if not self._debias:
            return self._sums
        if not self._steps:
            return None
        weight = 1 - (1 - self._rate) ** self._steps
        return RankDynamics(*(value / weight for value in self._sums))

    def add(self, means: RankDynamics) -> None:
        """Take in the means of one step."""
        pairs = zip(self._sums, means, strict=True)
        self._sums = RankDynamics(*((1 - self._rate) * a + self._rate * b for a, b in pairs))
        self._steps += 1

    def state(self) -> dict[str, float]:
        return {**self._sums._asdict(), "steps": self._steps}

    def restore(self, state: Mapping[str, float]) -> None:
        self._sums = RankDynamics(*(state[name] for name in RankDynamics._fields))
        self._steps = int(state["steps"])


class Verl:
    """A ``Shaping`` by the effective rank of each response's final-norm hidden states.

    Hidden states are measured as the proximal pass yields them; three numbers are all that is kept.
    """

    def __init__(
        self,
        *,
        variant: VerlVariant = "paper",
        mix: ShapingMix = "adaptive",
        stride: int = 40,
        window: int | None = 512,
        rate: float = 0.3,
        debias: bool = True,
        gain: float = 2.0,
        bound: float = 5.0,
        kappa: float = 2.0,
    ) -> None:
        """``paper`` raises every token of a response, ``released`` the last one alone, as the
        official code does. ``stride`` and ``window`` are those of ``response_dynamics``, ``rate``
        and ``debias`` of ``RunningMeans``, the rest of ``bonus`` and ``with_bonus``.
        """
        self._variant = variant
        self._stride, self._window = stride, window
        self._mix, self._gain, self._bound, self._kappa = mix, gain, bound, kappa
        self._means = RunningMeans(rate=rate, debias=debias)
        self._seen: dict[int, RankDynamics] = {}

    def observe(self, batch: TokenBatch, hidden_T_D: Tensor) -> None:
        """Measure the responses of a batch. TrainingError on a non-finite hidden state."""
        if not hidden_T_D.isfinite().all():
            raise TrainingError(
                "the policy's hidden states are not finite; the weights are unchanged"
            )
        responses = torch.split(hidden_T_D, batch.sampled.lengths_S.tolist())
        for index, response_T_D in zip(batch.indices, responses, strict=True):
            self._seen[index] = response_dynamics(
                response_T_D, stride=self._stride, window=self._window
            )

    def shape(self, samples: Sequence[Sample]) -> Shaped:
        """The samples observed since the last call, with their bonus."""
        dynamics_S = [self._seen.get(index, UNSEEN) for index in range(len(samples))]
        self._seen = {}
        return self.apply(samples, dynamics_S)

    def apply(self, samples: Sequence[Sample], dynamics_S: Sequence[RankDynamics]) -> Shaped:
        """``samples`` with the bonus that ``dynamics_S`` deserve against earlier steps, which they
        join.
        """
        if not samples:
            return Shaped([], {})
        usual = self._means.usual()
        shaped = list(samples)
        if usual is not None:
            shaped = [
                self._raised(sample, self._phi(dynamics, usual))
                for sample, dynamics in zip(samples, dynamics_S, strict=True)
            ]
        columns = zip(*dynamics_S, strict=True)
        means = RankDynamics(*(math.fsum(column) / len(dynamics_S) for column in columns))
        self._means.add(means)
        raised = [
            after - before
            for old, new in zip(samples, shaped, strict=True)
            for before, after in zip(old.advantages_T, new.advantages_T, strict=True)
        ]
        return Shaped(
            shaped,
            {
                "effective_rank/mean": means.rank,
                "effective_rank/velocity": means.velocity,
                "effective_rank/acceleration": means.acceleration,
                "shaping/bonus": math.fsum(raised) / max(1, len(raised)),
            },
        )

    def _phi(self, dynamics: RankDynamics, usual: RankDynamics) -> float:
        return bonus(dynamics, usual, mix=self._mix, gain=self._gain, bound=self._bound)

    def _raised(self, sample: Sample, phi: float) -> Sample:
        first = 0 if self._variant == "paper" else len(sample.advantages_T) - 1
        raised_T = tuple(
            with_bonus(advantage, phi, kappa=self._kappa) if t >= first else advantage
            for t, advantage in enumerate(sample.advantages_T)
        )
        return replace(sample, advantages_T=raised_T)

    def state(self) -> dict[str, float]:
        """The running means."""
        return self._means.state()

    def restore(self, state: Mapping[str, float]) -> None:
        self._means.restore(state)


SHAPINGS: dict[str, Callable[..., Shaping]] = {"verl": Verl}
"""Name -> what makes one; its parameters are those of ``algorithm.shaping``."""
