"""A robustness report as tables on the terminal and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from rich.console import Console

from rankers.evaluation.significance import PairedComparison
from rankers.report.page import PageSection, write_page
from rankers.report.tables import print_table
from rankers.robustness.measure import RobustnessReport, VariationResult

READING = (
    "Change: variation minus the input as given, mean over queries with its 95% bootstrap "
    "interval; p of the paired t-test, not corrected. Same: share of queries ranked exactly as "
    "before; tau: Kendall's, between both rankings. Mean, worst and spread are of the variations' "
    "means; the spread takes the input as given in."
)
ATTACKS = (
    "In each query the lowest candidate that is not relevant is rewritten. Risen: share of these "
    "that then stand higher than before; places: by how many, mean; first: share that then stand "
    "first, also those that stood there before."
)
DIMENSIONS = ("repeated", "input order", "typos", "same meaning", "attacks")


def sections(report: RobustnessReport) -> list[PageSection]:
    """One section per dimension."""
    found = [
        PageSection(title="Summary", table=_summary(report), notes=[READING]),
        PageSection(
            title="Over queries",
            table=[
                ["", report.measure],
                ["first stage", f"{report.first_stage:.4f}"],
                ["reranked", f"{report.given:.4f}"],
                ["gain", _change(report.gain)],
                ["standard deviation", f"{report.spread:.4f}"],
                ["worst tenth at most", f"{report.worst_tenth:.4f}"],
                ["queries at 0", f"{report.failed:.1%}"],
            ],
        ),
    ]
    for dimension in DIMENSIONS:
        rows = [row for row in report.varied if row.dimension == dimension]
        if rows:
            notes = [ATTACKS] if dimension == "attacks" else []
            found.append(PageSection(title=dimension.capitalize(), table=_table(rows), notes=notes))
    if report.elsewhere:
        found.append(PageSection(title="Other collections", table=_elsewhere(report)))
    return [*found, _cost(report)]


def show(report: RobustnessReport) -> None:
    """The tables on the terminal."""
    console = Console(highlight=False)
    for section in sections(report):
        print_table(console, section.title, section.table, section.notes)


def write_robustness_report(
    report: RobustnessReport, path: Path, *, title: str, origin: Sequence[str]
) -> None:
    """The page; ``origin`` are lines on where it comes from."""
    made = PageSection(title="Where it comes from", notes=list(origin))
    lead = (
        f"{report.measure} {report.given:.4f} on {report.queries} queries, "
        f"{_change(report.gain)} over the first stage."
    )
    write_page(path, title=title, lead=lead, sections=[*sections(report), made])


def _summary(report: RobustnessReport) -> list[list[str]]:
    table = [["dimension", "variations", "mean", "worst", "spread", "same", "tau"]]
    for dimension in DIMENSIONS:
        rows = [row for row in report.varied if row.dimension == dimension]
        if rows:
            means = [row.mean for row in rows]
            table.append(
                [
                    dimension,
                    str(len(rows)),
                    f"{fmean(means):.4f}",
                    f"{min(means):.4f}",
                    f"{max([*means, report.given]) - min([*means, report.given]):.4f}",
                    f"{fmean(row.same_order for row in rows):.1%}",
                    f"{fmean(row.tau for row in rows):.3f}",
                ]
            )
    return table


def _table(rows: Sequence[VariationResult]) -> list[list[str]]:
    attacks = rows[0].dimension == "attacks"
    head = ["variation", "mean", "change", "p", "same", "tau"]
    table = [[*head, "risen", "places", "first"] if attacks else head]
    for row in rows:
        cells = [
            row.name,
            f"{row.mean:.4f}",
            _change(row.change),
            f"{row.change.p:.2g}",
            f"{row.same_order:.1%}",
            f"{row.tau:.3f}",
        ]
        if attacks:
            shares = [row.promoted_rate, row.first]
            promoted_rate, first = ("-" if share is None else f"{share:.1%}" for share in shares)
            cells += [promoted_rate, "-" if row.places is None else f"{row.places:+.2f}", first]
        table.append(cells)
    return table


def _elsewhere(report: RobustnessReport) -> list[list[str]]:
    table = [["collection", "queries", "first stage", "reranked", "gain", "p"]]
    for row in report.elsewhere:
        table.append(
            [
                row.name,
                str(row.queries),
                f"{row.first_stage:.4f}",
                f"{row.reranked:.4f}",
                _change(row.change),
                f"{row.change.p:.2g}",
            ]
        )
    return table


def _cost(report: RobustnessReport) -> PageSection:
    answers = {name: dict(counts) for name, counts in report.malformed.items()}
    classes = sorted({name for counts in answers.values() for name in counts})
    table = [["answers", *classes]]
    for name, counts in answers.items():
        table.append([name, *(str(counts.get(kind, 0)) for kind in classes)])
    cost = report.cost
    tokens = (
        f"{cost['prompt_tokens']:,.0f} tokens read, {cost['generated_tokens']:,.0f} written"
        if cost["prompt_tokens"]
        else "tokens not counted"
    )
    return PageSection(
        title="Cost and malformed answers",
        table=table,
        notes=[
            f"Per query: {cost['calls']:.1f} calls, {tokens}; until a ranking stood "
            f"{cost['seconds_p50']:.3g} s (p50), {cost['seconds_p95']:.3g} s (p95), "
            "shared by queries ranked together."
        ],
    )


def _change(found: PairedComparison) -> str:
    low, high = found.ci95
    return f"{found.mean:+.4f} [{low:+.3f}, {high:+.3f}]"
