"""`rlpost data list | info | convert | retrieve`: collections and their first-stage candidates."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rlpost.cli.options import IdenticalIdsOption, SplitOption, UnknownDocsOption

if TYPE_CHECKING:
    from rankers.types import Collection


data_app = typer.Typer(
    name="data",
    help="Look at collections, convert them, retrieve candidates from them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


DatasetArg = Annotated[
    str, typer.Argument(help="`pydoc`, a folder, or a name of ir_datasets such as beir/scifact")
]


@data_app.command("list")
def list_command(
    folder: Annotated[Path, typer.Argument(help="Folder that holds collections")] = Path("."),
    names: Annotated[
        str | None, typer.Option(help="List ir_datasets' names that contain this text instead")
    ] = None,
) -> None:
    """List the collections of a folder, or the names that can be downloaded."""
    if names is not None:
        from rankers.datasets.by_name import names as known_names

        print(*known_names(names), sep="\n")
        return
    from rankers.datasets.folders import given_runs, is_collection, splits_of_folder

    rows = [["pydoc", "train dev test", ""]]
    for path in sorted({folder, *folder.glob("*")}):
        if path.is_dir() and is_collection(path):
            rows.append([str(path), " ".join(splits_of_folder(path)), " ".join(given_runs(path))])
    _table(["collection", "splits", "given runs"], rows)


@data_app.command()
def info(
    dataset: DatasetArg,
    split: SplitOption = "test",
    unknown_docs: UnknownDocsOption = "error",
    identical_ids: IdenticalIdsOption = "auto",
) -> None:
    """Load one split, which checks it, and print what it holds."""
    from rankers.datasets.load import load_collection

    collection = load_collection(
        dataset, split, unknown_docs=unknown_docs, identical_ids=identical_ids
    )
    _table(["", f"{collection.name} ({split})"], [list(row) for row in facts(collection)])


def facts(collection: Collection) -> list[tuple[str, str]]:
    """What there is to know about a split before using it."""
    from rankers.datasets.load import collection_key

    grades = Counter(g for gains in collection.qrels.values() for g in gains.values())
    relevant = [sum(g > 0 for g in gains.values()) for gains in collection.qrels.values()]
    return [
        ("documents", str(len(collection.corpus))),
        ("words per document", f"{_words(d.content for d in collection.corpus.values()):.1f}"),
        ("queries", str(len(collection.queries))),
        ("words per query", f"{_words(collection.queries.values()):.1f}"),
        ("judgements by grade", ", ".join(f"{g}: {n}" for g, n in sorted(grades.items()))),
        ("relevant per query", f"{fmean(relevant):.1f} ({relevant.count(0)} queries with none)"),
        ("judged, not in the corpus", str(collection.num_judged_absent)),
        ("left out of results", str(sum(map(len, collection.excluded.values())))),
        ("content", collection_key(collection)),
    ]


@data_app.command()
def convert(
    dataset: DatasetArg,
    out: Annotated[Path, typer.Option(help="Folder to write to")],
    split: SplitOption = "test",
    layout: Annotated[
        Literal["beir", "msmarco", "trec"], typer.Option(help="Layout of the files")
    ] = "beir",
    unknown_docs: UnknownDocsOption = "error",
    identical_ids: IdenticalIdsOption = "auto",
) -> None:
    """Write one split as files; repeat with other splits to add them to the same folder."""
    from rankers.datasets.export import write_collection
    from rankers.datasets.load import load_collection

    collection = load_collection(
        dataset, split, unknown_docs=unknown_docs, identical_ids=identical_ids
    )
    print(*write_collection(collection, out, split=split, layout=layout), sep="\n")


@data_app.command()
def retrieve(
    dataset: DatasetArg,
    out: Annotated[Path, typer.Option(help="TREC run to write")],
    stage: Annotated[
        str,
        typer.Option(
            help="bm25, bm25-multifield, bm25-rm3 (Lucene), bm25s, dense:MODEL, given:NAME, "
            "run:FILE, rrf(A, B) or sum(A, B)"
        ),
    ] = "bm25",
    split: SplitOption = "test",
    depth: Annotated[int, typer.Option(min=1, help="Candidates per query")] = 1000,
    unknown_docs: UnknownDocsOption = "error",
    identical_ids: IdenticalIdsOption = "auto",
    queries: Annotated[
        Literal["judged", "all"] | None,
        typer.Option(help="Queries that the split judges, or all; default: judged, if any are"),
    ] = None,
) -> None:
    """Write the candidates of a first stage; the run's tag names the engine."""
    from rankers.datasets.folders import given_runs
    from rankers.datasets.load import judged_alone, load_collection
    from rankers.files.trec import write_run
    from rankers.first_stage.by_name import first_stage

    collection = load_collection(
        dataset,
        split,
        unknown_docs=unknown_docs,
        identical_ids=identical_ids,
        queries="judged" if queries == "judged" else "all",
    )
    unjudged = len(collection.queries) - len(collection.qrels)
    if queries is None and collection.qrels:
        collection = judged_alone(collection)
        _note(unjudged, f"queries of {dataset} have no judgements in split {split!r}: left out")
    else:
        _note(unjudged, f"queries of {dataset} have no judgements in split {split!r}")
    found = first_stage(collection, stage, depth=depth, given=given_runs(Path(dataset)))
    write_run(out, found.run, tag=found.tag)
    lacking = sum(not found.run.get(query_id) for query_id in collection.queries)
    _note(lacking, f"of {len(collection.queries)} queries have no candidate")
    print(
        f"{out}: {len(found.run)} queries, {sum(map(len, found.run.values()))} lines, {found.tag}"
    )


def _note(count: int, text: str) -> None:
    if count:
        print(f"note: {count} {text}", file=sys.stderr)


def _words(texts: Iterable[str]) -> float:
    return fmean(len(text.split()) for text in texts)


def _table(head: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console

    from rankers.report.tables import print_table

    print_table(Console(), "", [head, *rows])
