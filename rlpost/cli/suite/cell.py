"""One system on one collection: candidates, reranking, evaluation, and a record of all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankers.datasets.folders import given_runs
from rankers.datasets.load import collection_key, load_collection
from rankers.errors import RankerError, RlpostError, UserError
from rankers.evaluation.scoreboard import Request, scoreboard
from rankers.files.atomic import disk_trouble
from rankers.files.cache import content_key, file_key
from rankers.files.trec import write_run
from rankers.first_stage.by_name import first_stage
from rankers.report.text import write_json
from rankers.types import Collection
from rlpost.cli.suite.config import CollectionSpec, SuiteConfig, SystemSpec
from rlpost.interrupt import end_with_parent

RESULT = "result.json"
RUN = "run.trec"
CANDIDATES = "candidates.trec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What to do; plain values, so that it can travel."""

    system_name: str
    collection_name: str
    system: SystemSpec
    collection: CollectionSpec
    measures: tuple[str, ...]
    folder: Path
    """Where the cell's files go: run, trace and result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What became of a cell."""

    cell: Cell
    result: dict[str, Any] | None
    """The object in its result file; None where it failed."""
    error: str = ""
    repeated: bool = True
    """False where the result of an earlier time still holds."""


def cells_of(suite: SuiteConfig) -> list[Cell]:
    """All cells, collection by collection."""
    return [
        Cell(
            system_name=system_name,
            collection_name=collection_name,
            system=system,
            collection=collection,
            measures=tuple(suite.measures),
            folder=suite.out / collection_name / system_name,
        )
        for collection_name, collection in suite.collections.items()
        for system_name, system in suite.systems.items()
    ]


def run_cell(cell: Cell, *, cache_dir: Path | None = None) -> CellResult:
    """Do the cell unless its result still holds; a failure is an outcome, not an exception.

    ``cache_dir``: of indexes and first-stage runs; None for the user's.
    """
    try:
        collection = _load(cell.collection)
        key = _key(cell, collection)
        earlier = _earlier(cell.folder / RESULT, key)
        if earlier is not None:
            return CellResult(cell=cell, result=earlier, repeated=False)
        return CellResult(cell=cell, result=_computed(cell, collection, key, cache_dir))
    except (RankerError, RlpostError) as error:
        return CellResult(cell=cell, result=None, error=str(error))


def _load(spec: CollectionSpec) -> Collection:
    return load_collection(
        spec.path, spec.split, unknown_docs=spec.unknown_docs, identical_ids=spec.identical_ids
    )


def _key(cell: Cell, collection: Collection) -> str:
    """Changes with anything that the numbers depend on."""
    stage = cell.system.first_stage
    files = [Path(stage.removeprefix("run:"))] if stage.startswith("run:") else []
    if cell.system.rerank is not None:
        files.append(Path(str(cell.system.rerank["model"])))
    return content_key(
        [
            cell.system.model_dump(mode="json"),
            cell.collection.model_dump(mode="json"),
            cell.measures,
            collection_key(collection),
            *(file_key(path) for path in files if path.exists()),
        ]
    )


def _earlier(path: Path, key: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return result if result.get("cell", {}).get("key") == key else None


def _computed(
    cell: Cell, collection: Collection, key: str, cache_dir: Path | None
) -> dict[str, Any]:
    with disk_trouble(cell.folder):
        cell.folder.mkdir(parents=True, exist_ok=True)
    system, spec = cell.system, cell.collection
    given = given_runs(Path(spec.path))
    found = first_stage(
        collection, system.first_stage, depth=system.depth, given=given, cache_dir=cache_dir
    )
    run = cell.folder / RUN
    if system.rerank is None:
        write_run(run, found.run, tag=found.tag)
    else:
        write_run(cell.folder / CANDIDATES, found.run, tag=found.tag)
        _rerank(cell, cell.folder / CANDIDATES, run)
    board = scoreboard(
        Request(
            dataset=spec.path,
            runs=[str(run.absolute())],
            split=spec.split,
            measures=cell.measures,
            unknown_docs=spec.unknown_docs,
            identical_ids=spec.identical_ids,
        )
    )
    result = board.as_json() | {
        "cell": {
            "key": key,
            "system": cell.system_name,
            "collection": cell.collection_name,
            "first_stage": found.tag,
            "system_spec": system.model_dump(mode="json"),
            "collection_spec": spec.model_dump(mode="json"),
        }
    }
    write_json(result, str(cell.folder / RESULT))
    return result


def _rerank(cell: Cell, candidates: Path, out: Path) -> None:
    """`rlpost rerank` in a process of its own, so that its model is gone afterwards."""
    options = {
        "run": candidates,
        "out": out,
        "dataset": cell.collection.path,
        "split": cell.collection.split,
        "identical_ids": cell.collection.identical_ids,
        **(cell.system.rerank or {}),
    }
    words = [sys.executable, "-m", "rlpost.cli.main", "rerank", "--overwrite"]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag] if value else []
        else:
            words += [flag, str(value)]
    done = subprocess.run(
        words, capture_output=True, text=True, errors="replace", preexec_fn=end_with_parent
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()[-60:])
        raise UserError(f"rlpost rerank failed with status {done.returncode}: {said}")


def cell_of_result(result: dict[str, Any], folder: Path) -> Cell:
    """The cell that a result file is of, to be done again in ``folder``."""
    record = result["cell"]
    return Cell(
        system_name=record["system"],
        collection_name=record["collection"],
        system=SystemSpec.model_validate(record["system_spec"]),
        collection=CollectionSpec.model_validate(record["collection_spec"]),
        measures=tuple(result["request"]["measures"]),
        folder=folder,
    )
