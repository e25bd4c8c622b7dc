"""A run in a process of its own, to be killed: ``python -m tests.chaos.victim RUN_DIR MAX_LAG``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from rlpost.loop import StepRecord
from tests.fakes import HashLearner, ScriptedEngine
from tests.runs import FAST, Diary, small_spec
from workers.train.driver import open_run
from workers.train.spec import RunSpec

STEPS = 12
DIARY = "trained.jsonl"


def victim_spec(folder: Path, max_lag: int) -> RunSpec:
    return small_spec(
        folder,
        steps=STEPS,
        engine=ScriptedEngine(seconds_per_call=0.1),
        learner=HashLearner(seconds_per_step=0.1),
        streaming=replace(FAST, max_lag=max_lag),
        checkpoint_every=2,
    )


def main(folder: Path, max_lag: int) -> None:
    def write_down(record: StepRecord) -> None:
        with (folder / DIARY).open("a") as file:
            positions = [group.ticket.index for group in record.groups]
            file.write(json.dumps({"step": record.step, "positions": positions}) + "\n")

    observers = replace(Diary().observers, step=write_down)
    with open_run(victim_spec(folder, max_lag), observers) as driver:
        driver.train()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
