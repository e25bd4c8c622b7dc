"""A server under load: started, asked by many clients at once, measured."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
PYTHON = REPO / ".venv" / "bin" / "python"
USERS = REPO / "scripts" / "bench" / "serve_load_users.py"


@dataclass(kw_only=True)
class Bench:
    """What all parts work with."""

    args: argparse.Namespace
    folder: Path
    environment: dict[str, str]

    def say(self, name: str, value: str, *, bar: str = "", good: bool = True) -> int:
        verdict = f"   bar: {bar}: {'PASS' if good else 'FAIL'}" if bar else ""
        print(f"  {name:<46}{value:>16}{verdict}", flush=True)
        return int(not good)

    @contextmanager
    def served(self, *overrides: str, models: list[dict[str, Any]] | None = None) -> Iterator[Any]:
        """A server with the model of the command line, or with ``models``."""
        config = self.folder / "serve.json"  # JSON is YAML
        config.write_text(json.dumps({"models": models or [self.model()], "port": 0}))
        command = [str(PYTHON), "-m", "rlpost.cli.main", "serve", str(config), *overrides]
        log = (self.folder / "serve.log").open("w")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
        ) as process:
            try:
                line = process.stdout.readline()
                found = re.search(r"http://[\d.:]+", line)
                if found is None:
                    raise SystemExit((self.folder / "serve.log").read_text()[-2000:])
                yield Server(process=process, url=found[0])
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60)

    def model(self) -> dict[str, Any]:
        given = self.args
        return {
            "name": "m",
            "method": given.method,
            "model": given.model,
            "backend": given.backend,
            "passage_tokens": 32,
        }

    def load(self, server: Server, *, clients: int, **ends: float) -> Load:
        """Requests of ``clients`` at once, until ``seconds`` or ``requests`` are over."""
        out = self.folder / "load.json"
        environment = {
            **os.environ,
            "PROBLEMS": str(self.folder / "problems.json"),
            "OUT": str(out),
            **{name.upper(): str(value) for name, value in ends.items()},
        }
        command = [self.args.locust, "-f", str(USERS), "--headless", "--host", server.url]
        command += ["-u", str(clients), "-r", str(clients), "-t", f"{ends.get('seconds', 3600)}s"]
        command += ["--only-summary", "--loglevel", "ERROR", "--exit-code-on-error", "0"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return Load(**json.loads(out.read_text()))


@dataclass(kw_only=True)
class Load:
    """What the clients saw."""

    statuses: dict[str, int]
    wrong: int
    """Rankings that are not those of the same call alone."""
    seconds: list[float]
    """Of each request that got a ranking."""
    per_second: float
    """Rankings, from the first request to the last answer."""
    retry_after: int
    """Refusals that say when to come again."""

    def at(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(kw_only=True)
class Server:
    """A running `rlpost serve`."""

    process: subprocess.Popen[str]
    url: str

    def engine(self) -> Any:
        import psutil

        return psutil.Process(self.process.pid).children()[0]

    def resident(self) -> tuple[int, int]:
        """Bytes of the server, and of its engine with its children."""
        import psutil

        engine = self.engine()
        sizes = [one.memory_info().rss for one in (engine, *engine.children(recursive=True))]
        return psutil.Process(self.process.pid).memory_info().rss, sum(sizes)
