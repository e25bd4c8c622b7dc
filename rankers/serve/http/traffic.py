"""What all connections together hold: bodies on their way in, answers on their way out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Arriving:
    """A body of which some has come. ``refused`` when others needed the room."""

    def __init__(self, intake: Intake, waiting: asyncio.Timeout) -> None:
        self.bytes = 0
        self.refused = False
        self._intake = intake
        self._waiting = waiting

    def add(self, count: int) -> None:
        """So much more has come. Raises TimeoutError where there is no room for it."""
        self.bytes += count
        self._intake.make_room()
        if self.refused:
            raise TimeoutError

    def refuse(self) -> None:
        """End the wait for the rest."""
        self.refused = True
        self._waiting.reschedule(asyncio.get_running_loop().time())


class Intake:
    """The bodies that are arriving. Beyond ``most`` bytes together, the largest is refused: many
    that are half sent keep no small one out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._arriving: set[Arriving] = set()

    @property
    def bytes(self) -> int:
        """Of all of them together."""
        return sum(body.bytes for body in self._arriving)

    @contextmanager
    def arriving(self, waiting: asyncio.Timeout) -> Iterator[Arriving]:
        """A body that arrives within the block, which ``waiting`` ends."""
        body = Arriving(self, waiting)
        self._arriving.add(body)
        try:
            yield body
        finally:
            self._arriving.discard(body)

    def make_room(self) -> None:
        """Refuse the largest until the others fit."""
        while self.bytes > self._most:
            largest = max(self._arriving, key=lambda body: body.bytes)
            self._arriving.remove(largest)
            largest.refuse()


class Reader(Protocol):
    """A connection whose client has not taken all that was written to it."""

    @property
    def untaken(self) -> int:
        """Bytes."""

    def cut(self) -> None:
        """End it, and let go of them."""


class Outlet:
    """The answers that clients have yet to take. Beyond ``most`` bytes together, the connection
    that has waited longest is cut; one alone may be larger.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Reader, None] = {}
        """In the order in which they began to wait."""

    @property
    def bytes(self) -> int:
        """Of all of them together."""
        return sum(reader.untaken for reader in self._waiting)

    def wait(self, reader: Reader) -> None:
        """Something was written to it that its client has not taken."""
        self._waiting.setdefault(reader)
        while len(self._waiting) > 1 and self.bytes > self._most:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.cut()

    def taken(self, reader: Reader) -> None:
        """All of it, or the connection is gone."""
        self._waiting.pop(reader, None)
