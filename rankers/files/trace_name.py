"""The name of the trace beside a run file."""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".trec", ".jsonl")


def trace_path(run: Path) -> Path:
    """``x.trec`` and ``x.jsonl`` -> ``x.trace.jsonl``; ``x.first.trec`` -> ``x.first.trace.jsonl``.

    A name with another ending keeps it.
    """
    name = run.name.removesuffix(".gz")
    ending = next((ending for ending in ENDINGS if name.endswith(ending)), "")
    return run.with_name(f"{name.removesuffix(ending)}.trace.jsonl")
