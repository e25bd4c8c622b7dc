"""What a person sees while a run goes: one live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rankers.report.text import duration


class Shown(NamedTuple):
    """One figure of the display."""

    label: str
    metric: str
    form: str


SHOWN = (
    Shown("reward", "reward/mean", "{:.3f}"),
    Shown("nDCG", "reward/part/ndcg", "{:.3f}"),
    Shown("entropy", "entropy", "{:.2f}"),
    Shown("grad norm", "grad_norm", "{:.2f}"),
    Shown("lag", "staleness/max", "{:.0f}"),
    Shown("samples/s", "perf/samples_per_s", "{:.1f}"),
)
"""Figures shown when the step has them, in this order."""


_BARS = " .:-=+*#%@"


_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


_SPARK_WIDTH = 40


class Display(Protocol):
    """Where progress goes. Used as a context manager around a run."""

    def phase(self, text: str) -> None:
        """Say what is going on now, such as ``loading engine``."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show a finished step."""

    def note(self, text: str) -> None:
        """Leave a line that stays, such as the measures before training."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def open_display(name: str, total_steps: int, *, console: Console | None = None) -> Display:
    """The live panel where stderr is a terminal, plain lines where it is not."""
    console = console or Console(stderr=True, highlight=False)
    kind = LiveDisplay if console.is_terminal else PlainDisplay
    return kind(name, total_steps, console=console)


class Progress:
    """How far a run is: steps done, and the time left as the recent pace has it."""

    def __init__(self, total_steps: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total_steps
        self.done = 0
        self._clock = clock
        self._start = clock()
        self._ends: deque[tuple[int, float]] = deque(maxlen=11)

    def advance(self, step: int) -> None:
        """``step`` (1 for the first) has ended."""
        self.done = step
        self._ends.append((step, self._clock()))

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._start

    @property
    def eta_s(self) -> float | None:
        """Seconds to the last step at the mean pace of the last ten; None where unknown or over."""
        if len(self._ends) < 2 or self.done == self.total:
            return None
        (first, start), (last, end) = self._ends[0], self._ends[-1]
        return (end - start) / (last - first) * (self.total - last)


class PlainDisplay:
    """One line per phase, step and note: for logs, pipes and ``ray job submit``."""

    def __init__(self, name: str, total_steps: int, *, console: Console) -> None:
        self._name = name
        self._console = console
        self._progress = Progress(total_steps)

    def phase(self, text: str) -> None:
        self._line(f"{text} ...")

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self._progress.advance(step)
        figures = "  ".join(f"{label} {value}" for label, value in figures_of(metrics))
        eta = self._progress.eta_s
        left = "" if eta is None else f"  {duration(eta)} left"
        self._line(f"step {step}/{self._progress.total}  {figures}{left}")

    def note(self, text: str) -> None:
        self._line(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _line(self, text: str) -> None:
        stamp = duration(self._progress.elapsed_s)
        self._console.print(
            f"{stamp:>7}  {self._name}  {text}", markup=False, highlight=False, soft_wrap=True
        )


class LiveDisplay:
    """A panel that redraws itself: phase, bar, figures, and the reward so far as a sparkline."""

    def __init__(self, name: str, total_steps: int, *, console: Console) -> None:
        self._name = name
        self._console = console
        self._progress = Progress(total_steps)
        self._spinner = Spinner("dots", text="starting")
        self._metrics: Mapping[str, float] = {}
        self._rewards: list[float] = []
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=4, transient=False
        )

    def phase(self, text: str) -> None:
        self._spinner.update(text=Text(text))

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self._progress.advance(step)
        self._metrics = metrics
        self._rewards.append(metrics["reward/mean"])

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.phase("stopped" if kind else "done")
        self._live.__exit__(kind, error, traceback)

    def _render(self) -> RenderableType:
        progress = self._progress
        rows: list[RenderableType] = [self._spinner]
        if progress.done:
            rows += [self._bar(), self._figures(), self._spark()]
        title = f"rlpost [bold]{self._name}[/]  {duration(progress.elapsed_s)}"
        return Panel(Group(*rows), title=title, title_align="left", border_style="dim")

    def _bar(self) -> RenderableType:
        progress = self._progress
        eta = progress.eta_s
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        left = "" if eta is None else f"  {duration(eta)} left"
        bar = ProgressBar(total=progress.total, completed=progress.done)
        row.add_row(bar, f"{progress.done}/{progress.total}{left}")
        return row

    def _figures(self) -> RenderableType:
        text = Text()
        for label, value in figures_of(self._metrics):
            text.append(f"{label} ", style="dim")
            text.append(f"{value}   ", style="bold")
        return text

    def _spark(self) -> RenderableType:
        ascii_only = not (self._console.encoding or "").lower().startswith("utf")
        return Text.assemble(
            ("reward ", "dim"), (sparkline(self._rewards, ascii_only=ascii_only), "green")
        )


def figures_of(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Label and formatted value of what SHOWN lists and the step has."""
    return [(s.label, s.form.format(metrics[s.metric])) for s in SHOWN if s.metric in metrics]


def sparkline(values: list[float], *, ascii_only: bool = False) -> str:
    """The values as a row of at most 40 bars, each the mean of its stretch of the series."""
    width = min(_SPARK_WIDTH, len(values))
    edges = [round(i * len(values) / width) for i in range(width + 1)] if width else [0]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    bars = _BARS if ascii_only else _BLOCKS
    low, high = (min(means), max(means)) if means else (0.0, 0.0)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(bars[round((value - low) * scale)] for value in means)
