"""Which prompts the adapter of a training run knows: its run folder tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlpost.config_source import read_yaml
from rlpost.rundir import CONFIG

TEMPLATES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "rerank": lambda task: str(task["template"]),
    "rank_r1": lambda task: {"0.1": "rank_r1", "0.2": "rank_r1_0.2"}[task["version"]],
    "iranker": lambda task: "iranker",
    "pg_rank": lambda task: "encoder",
}
"""``task.kind`` of a resolved config -> its template in ``rankers.families``."""
DEPTH = 4
"""RUN/checkpoints/step-N/learner/adapter: folders between the adapter and its run."""


def template_of(adapter: Path) -> str | None:
    """The template that the run around ``adapter`` trained on; None where it is in no such run."""
    for folder in list(adapter.resolve().parents)[:DEPTH]:
        if (folder / CONFIG).is_file():
            task = read_yaml(folder / CONFIG).get("task", {})
            found = TEMPLATES.get(task.get("kind"))
            return found and found(task)
    return None
