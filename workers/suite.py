"""Cells of an evaluation suite as Ray tasks, a given number of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path

import ray

from rlpost.cli.suite.cell import Cell, CellResult, run_cell
from workers.signals import handler_kept
from workers.train.cluster import LOCAL, start_local


def run_cells(cells: Sequence[Cell], *, at_once: int, address: str | None) -> Iterator[CellResult]:
    """Outcomes as they come. One CPU per cell; a task that dies with its process is an outcome too.

    ``address``: of the Ray cluster to join, whose machines must see the same folders; None for one
    of our own, which ends with the suite.
    """
    connected = ray.is_initialized()
    if not connected:
        if address is None or address == LOCAL:
            start_local(num_cpus=at_once)
        else:
            with handler_kept():
                ray.init(address=address, log_to_driver=False)
    try:
        yield from _outcomes(list(cells), at_once)
    finally:
        if not connected:
            ray.shutdown()


def _run_there(folder: Path, cell: Cell) -> CellResult:
    """Paths in a suite are relative to where the command was started."""
    with chdir(folder):
        return run_cell(cell)


def _outcomes(cells: list[Cell], at_once: int) -> Iterator[CellResult]:
    task = ray.remote(num_cpus=1, max_retries=0)(_run_there)
    folder = Path.cwd()
    running: dict[ray.ObjectRef[CellResult], Cell] = {}
    waiting = cells[::-1]
    while running or waiting:
        while waiting and len(running) < at_once:
            cell = waiting.pop()
            running[task.remote(folder, cell)] = cell
        [ready], _ = ray.wait(list(running), num_returns=1)
        cell = running.pop(ready)
        try:
            yield ray.get(ready)
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[-300:]
            yield CellResult(cell=cell, result=None, error=f"{type(error).__name__}: {reason}")
