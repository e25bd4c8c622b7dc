"""The progress of a distillation: a bar where somebody watches, ten lines where nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES = 10

Show = Callable[[int, Mapping[str, float]], None]
"""(step from 1, its metrics) -> nothing."""


@contextmanager
def watched(console: Console, *, steps: int) -> Iterator[Show]:
    """Inside, call what this gives after every step."""
    if not console.is_terminal:
        yield lambda step, metrics: _line(console, step, steps, metrics)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=steps)

        def show(step: int, metrics: Mapping[str, float]) -> None:
            bar.update(task, completed=step, description=f"loss {metrics['loss/student']:.3f}")

        yield show


def _line(console: Console, step: int, steps: int, metrics: Mapping[str, float]) -> None:
    if step in (1, steps) or step % max(1, steps // LINES) == 0:
        console.print(f"step {step}/{steps}  loss {metrics['loss/student']:.4f}")
