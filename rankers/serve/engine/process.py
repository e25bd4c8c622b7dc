"""An engine process seen from the server: started, spoken to, noticed when it is gone."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from rankers.errors import BackendError
from rankers.serve.engine import messages
from rankers.serve.engine.service import ModelInfo


class EngineProcess:
    """One engine, from start to end; another is another object. All models are loaded."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        models: Mapping[str, ModelInfo],
    ) -> None:
        self.models = models
        self._process = process
        self._reader = reader
        self._writer = writer

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @classmethod
    async def started(cls, load: messages.LoadMessage) -> EngineProcess:
        """Start one and wait until it has loaded. Raises RankerError where it cannot."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rankers.serve.engine.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        # It ends by itself when the socket closes, unless it hangs.
        atexit.register(process.kill)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            writer.write(messages.framed_message(load))
            answer = await messages.receive_message(reader)
            if isinstance(answer, Exception):
                raise answer
        except BaseException as error:
            writer.close()
            await _ended(process)
            if isinstance(error, (EOFError, OSError)):
                raise BackendError(
                    f"the engine process ended with {process.returncode} while loading: see its "
                    "messages above"
                ) from error
            raise
        return cls(process, reader, writer, answer.models)

    def send(self, message: object) -> None:
        """Never blocks; what a dead engine does not take is noticed by ``receive``."""
        if not self._writer.is_closing():
            self._writer.write(messages.framed_message(message))

    async def receive(self) -> Any:
        """The next message. Raises EOFError or OSError when the process is gone."""
        return await messages.receive_message(self._reader)

    def kill(self) -> None:
        """For ``receive`` to notice."""
        self._process.kill()

    async def end(self) -> None:
        """Whatever it is doing: nobody waits for it."""
        self._writer.close()
        await _ended(self._process)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    await asyncio.to_thread(process.wait)
    atexit.unregister(process.kill)
