"""What a reranking cost and how well the model kept to the format, and how that is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console

from rankers.report.tables import print_table
from rankers.report.text import duration
from rankers.types import Trace


@dataclass(kw_only=True)
class Cost:
    """Sums over the queries of this session."""

    queries: int = 0
    degraded: int = 0
    resumed: int = 0
    """Queries that an earlier session had finished; not in the sums."""
    seconds: float = 0.0
    total: Trace = field(default_factory=Trace)

    def add(self, trace: Trace) -> None:
        """Count one finished query."""
        self.queries += 1
        self.degraded += trace.degraded
        self.total = self.total + trace

    def show(self, console: Console) -> None:
        """Print the sums as a table of two columns."""
        print_table(console, "", [["cost", ""], *self.rows()])

    def rows(self) -> list[tuple[str, str]]:
        """Label and text of every figure worth showing."""
        total = self.total
        rate = self.queries / self.seconds if self.seconds else 0.0
        resumed = f", {self.resumed} finished before" if self.resumed else ""
        rows = [
            ("queries", f"{self.queries}{resumed}"),
            ("time", f"{duration(self.seconds)} ({rate:.2f} queries/s)"),
            ("calls", f"{total.calls:,}"),
            ("tokens", f"{total.prompt_tokens:,} read, {total.generated_tokens:,} written"),
            ("answers", ", ".join(f"{n:,} {name}" for name, n in total.malformed.items())),
            ("read by rule", ", ".join(f"{n:,} {name}" for name, n in total.rules.items())),
        ]
        if total.truncated:
            rows.append(("passages cut", f"{total.truncated:,} showings"))
        if total.failures:
            rows.append(
                (
                    "failed",
                    f"{total.failures:,} calls, {self.degraded} queries keep part of their order",
                )
            )
        return [(label, text) for label, text in rows if text]
