"""A cell of a suite done again from nothing: candidates, reranking and evaluation."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rankers.errors import UserError
from rankers.evaluation.reproduce import Reproduction, against
from rlpost.cli.suite.cell import cell_of_result, run_cell


def reproduce_cell(result: dict[str, Any]) -> Reproduction:
    """Do the cell again with empty caches. UserError where that fails."""
    with TemporaryDirectory(prefix="rlpost-again-") as name:
        folder = Path(name)
        outcome = run_cell(cell_of_result(result, folder / "cell"), cache_dir=folder / "cache")
        if outcome.result is None:
            raise UserError(f"cannot do it again: {outcome.error}")
        return against(result, outcome.result)
