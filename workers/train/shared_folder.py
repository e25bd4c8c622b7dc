"""The run's folder, seen from every machine: a mark of the driver that each actor must find."""

from __future__ import annotations

import platform
import secrets
from dataclasses import dataclass
from pathlib import Path

from rankers.errors import UserError
from rankers.files.atomic import write_text

MARK = ".driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFolder:
    """Travels to the actors."""

    path: Path
    token: str

    @classmethod
    def marked(cls, path: Path) -> SharedFolder:
        """``path``, which is made, with a mark that no other folder has. Absolute."""
        path = path.absolute()
        path.mkdir(parents=True, exist_ok=True)
        shared = cls(path=path, token=secrets.token_hex(16))
        write_text(path / MARK, shared.token)
        return shared

    def unmark(self) -> None:
        (self.path / MARK).unlink(missing_ok=True)

    def check(self) -> None:
        """UserError where this machine has another folder, or none, under that name."""
        try:
            found = (self.path / MARK).read_text(encoding="utf-8")
        except OSError:
            found = ""
        if found != self.token:
            raise UserError(
                f"machine {platform.node()!r} does not see the run's folder {str(self.path)!r}: "
                "set output to a folder that all machines of the Ray cluster share"
            )
