"""Which prompts the policy of a run knows: its run folder tells."""

from __future__ import annotations

from pathlib import Path

from rankers.config_file import read_yaml
from rankers.prompting.model_families import ADAPTER_CONFIG, Trained
from rlpost.config.prompt_settings import trained_by
from rlpost.tracking.run_dir import CONFIG

DEPTH = 4
"""RUN/checkpoints/step-N/learner/adapter: folders between the adapter and its run."""


def trained(folder: Path) -> Trained | None:
    """How the run around a policy's adapter or a student's model wrote its prompts.

    None where it is in no such run. A model that is no adapter belongs to the run that it lies
    directly in.
    """
    depth = DEPTH if (folder / ADAPTER_CONFIG).is_file() else 1
    for parent in list(folder.resolve().parents)[:depth]:
        if (parent / CONFIG).is_file():
            config = read_yaml(parent / CONFIG)
            return trained_by(config) if depth > 1 or "student" in config else None
    return None
