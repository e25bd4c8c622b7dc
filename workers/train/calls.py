"""The driver's open calls: who was asked what, since when, and what came back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from rankers.errors import RlpostError

TICK_S = 0.5
"""Longest sleep of the driver, which looks after signals and deadlines in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    actor: str
    doing: str
    job: Any
    """What the caller wants back with the answer."""
    began: float
    """Unix time."""
    started: float
    """Monotonic time."""
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An answered call: ``value``, or ``error`` when it failed."""

    call: Call
    value: Any = None
    error: Exception | None = None


class ActorLostError(RlpostError):
    """The process of an actor is gone."""


class PendingCalls:
    """At most one call per actor is open at a time; nothing here blocks longer than ``TICK_S``."""

    def __init__(self) -> None:
        self._open: dict[Any, Call] = {}
        self._last_answer = time.monotonic()

    def add(self, ref: Any, *, actor: str, doing: str, job: Any, limit_s: float) -> None:
        now = time.monotonic()
        if not self._open:
            self._last_answer = now
        self._open[ref] = Call(
            actor=actor, doing=doing, job=job, began=time.time(), started=now, limit_s=limit_s
        )

    def is_busy(self, actor: str) -> bool:
        return any(call.actor == actor for call in self._open.values())

    @property
    def silent_s(self) -> float:
        """Seconds since anyone answered, or since the first of the open calls was made."""
        return time.monotonic() - self._last_answer

    @property
    def patience_s(self) -> float:
        """The longest that one of the open calls may take; 0 when none is open."""
        return max((call.limit_s for call in self._open.values()), default=0.0)

    def wait(self) -> list[Finished]:
        """The calls that are answered, as soon as there is one, or those overdue, or none."""
        if not self._open:
            return []
        ready, _ = ray.wait(list(self._open), num_returns=1, timeout=TICK_S)
        if ready:
            ready, _ = ray.wait(list(self._open), num_returns=len(self._open), timeout=0)
            self._last_answer = time.monotonic()
        return [_answer(self._open.pop(ref), ref) for ref in ready] + self._overdue()

    def describe(self) -> str:
        """What everyone is doing, for a person who wonders why nothing moves."""
        now = time.monotonic()
        calls = [f"{c.actor}: {c.doing} for {now - c.started:.0f} s" for c in self._open.values()]
        return "; ".join(calls) or "nobody was doing anything"

    def _overdue(self) -> list[Finished]:
        now = time.monotonic()
        late = [ref for ref, call in self._open.items() if now - call.started > call.limit_s]
        return [
            Finished(
                call=call, error=ActorLostError(f"no answer in {call.limit_s:g} s to: {call.doing}")
            )
            for call in (self._open.pop(ref) for ref in late)
        ]


def ask(ref: Any, *, limit_s: float, doing: str) -> Any:
    """Wait for one answer. Raises ActorLostError, or what the actor raised."""
    try:
        return ray.get(ref, timeout=limit_s)
    except GetTimeoutError:
        raise ActorLostError(f"no answer in {limit_s:g} s to: {doing}") from None
    except (RayActorError, RayTaskError) as error:
        raise translated(error, doing) from None


def translated(error: RayActorError | RayTaskError, doing: str) -> Exception:
    """Our own exception instead of Ray's wrapping of it; foreign ones keep Ray's traceback."""
    if isinstance(error, RayActorError):
        out_of_memory = "; the machine ran out of memory" if "low on memory" in str(error) else ""
        return ActorLostError(f"its process died while {doing}{out_of_memory}")
    return error.cause if isinstance(error.cause, RlpostError) else error


def _answer(call: Call, ref: Any) -> Finished:
    try:
        return Finished(call=call, value=ray.get(ref))
    except (RayActorError, RayTaskError) as error:
        return Finished(call=call, error=translated(error, call.doing))
