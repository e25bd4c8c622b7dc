"""The driver's book: where every prompt of the stream is, and which may start next.

    issued -> running -> queued -> trained
                ^ |        |
                | +--------|---> filtered      dynamic sampling found nothing to learn in it
                +--again---+     worker died, scorer failed, group grew stale, queue died
                   |
                   +-> quarantined   after ``max_attempts`` failures of that prompt

Whatever was issued and is not settled is in exactly one of running, queued, again. A checkpoint
stores the book; the prompts come back from the source, which is addressable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rlpost.streaming.frontier import CompletedPositions
from rlpost.types import Ticket

TicketAt = Callable[[int, int], Ticket]
"""(index, attempt) -> the ticket; equal arguments give equal tickets."""


class Ledger:
    """Issues tickets in stream order by admission control (AReaL, arXiv 2505.24298, equation 3)."""

    def __init__(
        self,
        *,
        ticket_at: TicketAt,
        steps: int,
        groups_per_step: int,
        prompts_per_call: int,
        max_lag: int,
        max_attempts: int,
    ) -> None:
        self._ticket_at = ticket_at
        self._steps, self._groups_per_step, self._max_lag = steps, groups_per_step, max_lag
        self._max_attempts = max_attempts
        self._prompts_per_call = prompts_per_call
        self._next = 0
        self._settled = CompletedPositions()
        self._quarantined: dict[int, str] = {}
        self._filtered: dict[int, float | None] = {}
        self._num_filtered = 0
        self._running: dict[int, Ticket] = {}
        self._queued: dict[int, Ticket] = {}
        self._pending_retry: dict[int, int] = {}
        self._failures: dict[int, int] = {}

    @property
    def num_trained(self) -> int:
        return len(self._settled) - len(self._quarantined) - self._num_filtered

    @property
    def num_queued(self) -> int:
        return len(self._queued)

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def quarantined(self) -> Mapping[int, str]:
        """Position -> why it was given up."""
        return self._quarantined

    @property
    def filtered_since_step(self) -> Mapping[int, float | None]:
        """Position -> reward of all its completions, of the groups left out since the last step."""
        return self._filtered

    def admit(self, version: int) -> list[Ticket]:
        """Start as many tickets as may start while workers hold policy ``version``.

        At most ``(max_lag + version + 1) * groups_per_step`` groups may have been accepted or be
        running, so that none is older than ``max_lag`` when its turn comes. Places of filtered
        groups are refilled by whole engine calls; in a synchronous run in rounds, as in
        ``rlpost.loop``.
        """
        ahead = min(self._max_lag + version + 1, self._steps)
        accepted = self.num_trained + len(self._queued)
        room = ahead * self._groups_per_step - (accepted + len(self._running))
        if self._filtered and (self._running or self._pending_retry):
            new = room - len(self._pending_retry)
            if self._max_lag == 0 or new < self._prompts_per_call:
                room = min(room, len(self._pending_retry))
        return [self._start() for _ in range(room)]

    def is_suspect(self, index: int) -> bool:
        """One more failure and it is quarantined: it should now stand alone, to harm no other."""
        return self._failures.get(index, 0) >= self._max_attempts - 1

    def queued(self, index: int) -> None:
        """The group of this position is in the queue (put just now, or found there)."""
        ticket = self._running.pop(index, None)
        if ticket is not None:
            self._queued[index] = ticket

    def trained(self, indices: Iterable[int]) -> None:
        """The optimizer step on these groups is done."""
        for index in indices:
            self._leave(index)
            self._failures.pop(index, None)
            if index in self._filtered:
                # Its queue died under the learner, and sampling it again found nothing in it.
                self._num_filtered -= 1
            else:
                self._settled.add(index)
        self._filtered.clear()

    def is_running(self, index: int, attempt: int) -> bool:
        """Whether this attempt was issued and nothing was heard of it."""
        ticket = self._running.get(index)
        return ticket is not None and ticket.key.attempt == attempt

    def filtered(self, index: int, reward: float | None) -> None:
        """The running group of this position teaches nothing; another prompt takes its place."""
        self._leave(index)
        self._failures.pop(index, None)
        self._filtered[index] = reward
        self._num_filtered += 1
        self._settled.add(index)

    def stale(self, index: int, attempt: int) -> bool:
        """Attempt ``attempt`` was refused for its age. False when that was reported before."""
        return self._fail(index, attempt, attempt + 1, "its groups were stale again and again")

    def failed(self, index: int, attempt: int, why: str) -> bool:
        """Rolling out or scoring failed; the next attempt draws other tokens."""
        return self._fail(index, attempt, attempt + 1, why)

    def interrupted(self, index: int, attempt: int, why: str) -> bool:
        """Its worker died before the put: the same attempt again, with the same tokens."""
        return self._fail(index, attempt, attempt, why)

    def requeue(self, index: int, attempt: int) -> None:
        """Stopped by no fault of the prompt: the same attempt again."""
        if self.is_running(index, attempt):
            self._leave(index)
            self._pending_retry[index] = attempt

    def quarantine(self, index: int, why: str) -> None:
        """Never issue this position again; another prompt of the stream takes its place."""
        if index not in self._settled:
            self._leave(index)
            self._quarantined[index] = why
            self._settled.add(index)

    def requeue_queued(self) -> list[int]:
        """The queue died with all it held: those prompts run again, which is no fault of theirs."""
        lost = sorted(self._queued)
        for index in lost:
            self._pending_retry[index] = self._queued.pop(index).key.attempt
        return lost

    def state(self) -> dict[str, Any]:
        """Plain JSON: the trained frontier, and what was issued but is not settled."""
        open_attempts = self._pending_retry | {
            index: ticket.key.attempt for index, ticket in (self._running | self._queued).items()
        }
        return {
            "next": self._next,
            "settled_below": self._settled.below,
            "settled_beyond": self._settled.beyond,
            "quarantined": {str(i): why for i, why in sorted(self._quarantined.items())},
            "num_filtered": self._num_filtered,
            "filtered_since_step": {str(i): r for i, r in sorted(self._filtered.items())},
            "in_flight": {str(i): attempt for i, attempt in sorted(open_attempts.items())},
            "failures": {str(i): count for i, count in sorted(self._failures.items())},
        }

    def restore(self, state: Mapping[str, Any], *, queued: Mapping[int, int]) -> None:
        """Go on from ``state``; ``queued``: position -> attempt of what the queue holds."""
        self._next = state["next"]
        self._settled = CompletedPositions(
            below=state["settled_below"], beyond=state["settled_beyond"]
        )
        self._quarantined = {int(i): why for i, why in state["quarantined"].items()}
        self._num_filtered = state["num_filtered"]
        self._filtered = {int(i): r for i, r in state["filtered_since_step"].items()}
        self._failures = {int(i): count for i, count in state["failures"].items()}
        self._queued = {i: self._ticket_at(i, attempt) for i, attempt in queued.items()}
        in_flight = {int(i): attempt for i, attempt in state["in_flight"].items()}
        self._pending_retry = {i: attempt for i, attempt in in_flight.items() if i not in queued}

    def _start(self) -> Ticket:
        if self._pending_retry:
            index = min(self._pending_retry)
            ticket = self._ticket_at(index, self._pending_retry.pop(index))
        else:
            ticket = self._ticket_at(self._next, 0)
            self._next += 1
        self._running[ticket.index] = ticket
        return ticket

    def _fail(self, index: int, attempt: int, next_attempt: int, why: str) -> bool:
        ticket = self._running.get(index) or self._queued.get(index)
        if ticket is None or ticket.key.attempt != attempt:
            return False
        self._failures[index] = self._failures.get(index, 0) + 1
        if self._failures[index] >= self._max_attempts:
            self.quarantine(index, why)
        else:
            self._leave(index)
            self._pending_retry[index] = next_attempt
        return True

    def _leave(self, index: int) -> None:
        for place in (self._running, self._queued):
            place.pop(index, None)
        self._pending_retry.pop(index, None)
