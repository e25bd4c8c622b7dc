"""Several ways to train, several seeds each: means with intervals, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from rich.console import Console
from rich.table import Table
from scipy.stats import t as student_t

Values = Mapping[str, Sequence[float]]
"""Name of an arm -> its value for each seed, seeds in the same order for every arm."""


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95% interval (Student's t over seeds)."""
    half = student_t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values), float(half)


def show(measures: Mapping[str, Values], *, baseline: str) -> None:
    """A row for each arm: each measure's mean, and its paired difference to ``baseline``."""
    table = Table("arm")
    for name in measures:
        table.add_column(name, justify="right")
        table.add_column(f"minus {baseline}", justify="right")
    for arm in next(iter(measures.values())):
        cells = []
        for values in measures.values():
            cells.append("{:.3f} +- {:.3f}".format(*interval(values[arm])))
            pairs = zip(values[arm], values[baseline], strict=True)
            cells.append(
                ""
                if arm == baseline
                else "{:+.3f} +- {:.3f}".format(*interval([a - b for a, b in pairs]))
            )
        table.add_row(arm, *cells)
    Console(width=40 + 34 * len(measures)).print(table)
