"""`rlpost distill`: the teacher's rankings into a smaller or faster ranker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def distill(
    config: Annotated[Path, typer.Argument(help="YAML file, such as configs/distill/first.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Overrides, e.g. teacher=run.trec steps=200")
    ] = None,
) -> None:
    """Train a ranker on the order that a teacher gives: FIRST, full ranking or E2Rank.

    Ends with a held-out evaluation before and after; the student is in RUN_DIR/model.
    """
    from rlpost.distill.run import distill as run

    print(run(config, overrides or []))
