"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from rankers.errors import UserError

BackendOption = Literal["vllm", "hf", "openai", "sentence-transformers"]
DtypeOption = Literal["float32", "bfloat16"]
CountOption = int | None


def opt(text: str, *names: str, **more: Any) -> Any:
    """An option with its help text, short enough to list many."""
    return typer.Option(*names, help=text, **more)


def parsed(options: list[str]) -> dict[str, object]:
    """``["num_children=19"]`` -> ``{"num_children": 19}``."""
    pairs = [option.partition("=") for option in options]
    for name, equals, _ in pairs:
        if not equals:
            raise UserError(f"--option {name!r} must be NAME=VALUE, such as num_children=19")
    return {
        name.replace("-", "_"): int(value) if value.isdecimal() else value
        for name, _, value in pairs
    }


SplitOption = Annotated[str, typer.Option(help="Judgements to use, such as qrels/SPLIT.tsv")]

UnknownDocsOption = Annotated[
    Literal["error", "keep", "drop"],
    typer.Option(help="What to do with judgements about documents that the corpus lacks"),
]

IdenticalIdsOption = Annotated[
    Literal["auto", "drop", "keep"],
    typer.Option(
        help="A document with the id of the query: drop it from the results, keep it, or drop it "
        "where it has the query's text as well"
    ),
]
