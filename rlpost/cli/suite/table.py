"""All outcomes of a suite in one table: averages, mean ranks and consensus, for people and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from urllib.parse import quote

from rankers.evaluation.consensus import Consensus, borda, kemeny
from rankers.report.page import Link, PageSection
from rankers.report.page import TableCell as PageCell
from rlpost.cli.suite.cell import RESULT, CellResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the systems stand in one measure."""

    measure: str
    scores: Mapping[str, Mapping[str, float]]
    """Collection -> system -> mean; failed cells are missing."""
    average: Mapping[str, float]
    """System -> mean over the collections that count."""
    mean_rank: Mapping[str, float]
    """Borda, over the same collections."""
    consensus: Consensus | None
    """Kemeny, over the same collections; None where no collection counts."""
    counted: Sequence[str]
    """Collections on which every system has a result: only those can be averaged over."""


def standing(outcomes: Sequence[CellResult], measure: str) -> Standing:
    """Put together what the cells found."""
    scores: dict[str, dict[str, float]] = {}
    systems = dict.fromkeys(outcome.cell.system_name for outcome in outcomes)
    for outcome in outcomes:
        row = scores.setdefault(outcome.cell.collection_name, {})
        if outcome.result is not None:
            [means] = outcome.result["runs"].values()
            row[outcome.cell.system_name] = means[measure]
    counted = {name: row for name, row in scores.items() if len(row) == len(systems)}
    return Standing(
        measure=measure,
        scores=scores,
        average={s: fmean(row[s] for row in counted.values()) for s in systems} if counted else {},
        mean_rank=borda(counted) if counted else {},
        consensus=kemeny(counted) if counted else None,
        counted=list(counted),
    )


def as_json(outcomes: Sequence[CellResult], standings: Sequence[Standing]) -> dict[str, Any]:
    """Plain values; every cell names its files."""
    return {
        "measures": {
            found.measure: {
                "scores": found.scores,
                "collections_counted": found.counted,
                "average": found.average,
                "borda_mean_rank": found.mean_rank,
                "kemeny": None if found.consensus is None else found.consensus._asdict(),
            }
            for found in standings
        },
        "cells": [
            {
                "collection": outcome.cell.collection_name,
                "system": outcome.cell.system_name,
                "folder": f"{outcome.cell.collection_name}/{outcome.cell.system_name}",
                "error": outcome.error or None,
            }
            for outcome in outcomes
        ],
    }


def rows(found: Standing, systems: Sequence[str], *, link: bool = False) -> list[list[PageCell]]:
    """Header and one row per system, in consensus order where there is one."""
    order = systems if found.consensus is None else found.consensus.order
    table: list[list[PageCell]] = [["system", *found.scores, "average", "Borda", "Kemeny"]]
    for place, system in enumerate(order, 1):
        cells: list[PageCell] = []
        for collection, row in found.scores.items():
            text = f"{row[system]:.4f}" if system in row else "failed"
            href = quote(f"{collection}/{system}/{RESULT}")
            cells.append(Link(text=text, href=href) if link and system in row else text)
        totals = ["", "", ""]
        if found.consensus is not None:
            totals = [f"{found.average[system]:.4f}", f"{found.mean_rank[system]:.2f}", str(place)]
        table.append([system, *cells, *totals])
    return table


def captions(found: Standing) -> list[str]:
    """What the last columns mean."""
    if found.consensus is None:
        return ["No collection has a result of every system: nothing to average."]
    left_out = [name for name in found.scores if name not in found.counted]
    method = "exact" if found.consensus.exact else "improved by moving single systems"
    return [
        f"Averages, mean rank (Borda) and consensus order (Kemeny, {method}, "
        f"{found.consensus.disagreements:g} disagreeing pairs) over {len(found.counted)} "
        "collections, each of equal weight.",
        *([f"Left out for want of a result: {', '.join(left_out)}."] if left_out else []),
    ]


def sections(outcomes: Sequence[CellResult], standings: Sequence[Standing]) -> list[PageSection]:
    """The page: a table per measure whose figures lead to the cells, then how each was made."""
    systems = list(dict.fromkeys(outcome.cell.system_name for outcome in outcomes))
    found = [
        PageSection(title=item.measure, table=rows(item, systems, link=True), notes=captions(item))
        for item in standings
    ]
    made: list[list[PageCell]] = [
        ["cell", "run", "result", "rlpost", "code", "first stage", "reranker"]
    ]
    for outcome in outcomes:
        folder = f"{outcome.cell.collection_name}/{outcome.cell.system_name}"
        if outcome.result is None:
            made.append([folder, "failed", "", "", "", "", ""])
            continue
        origin = outcome.result["provenance"]
        made.append(
            [
                folder,
                Link(text="run.trec", href=quote(f"{folder}/run.trec")),
                Link(text=RESULT, href=quote(f"{folder}/{RESULT}")),
                origin["versions"].get("rlpost", ""),
                (origin["git"] or "")[:12],
                outcome.result["cell"]["first_stage"],
                _reranker(outcome),
            ]
        )
    errors = [
        f"{o.cell.collection_name}/{o.cell.system_name}: {o.error}" for o in outcomes if o.error
    ]
    return [*found, PageSection(title="How each cell was made", table=made, notes=errors)]


def _reranker(outcome: CellResult) -> str:
    options = outcome.cell.system.rerank
    return "" if options is None else f"{options['method']} with {options['model']}"
