"""Queries to try: some of the built-in collection, with BM25's candidates.

The collection is read in a process of its own, so that requests do not wait meanwhile: where it is
not in the cache yet, that may take a minute.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

from pydantic import BaseModel, TypeAdapter

from rankers.serve.engine.service import ServiceError
from rankers.types import Collection, Run

COLLECTION = "pydoc"
QUERIES = 40
CANDIDATES = 20


class PageExample(BaseModel):
    """A query with its candidates, in the order of the first stage."""

    query: str
    documents: list[str]
    relevant: int
    """Index of the one that answers it."""


EXAMPLES = TypeAdapter(list[PageExample])


class Examples:
    """They are made at the first request and kept."""

    def __init__(self) -> None:
        self._making: asyncio.Task[list[PageExample]] | None = None

    async def all(self) -> list[PageExample]:
        """Raises ServiceError where they cannot be made; the next request tries again."""
        if self._making is None or _failed(self._making):
            self._making = asyncio.create_task(_made())
        return await asyncio.shield(self._making)  # one who leaves stops it for nobody else


def _failed(task: asyncio.Task[list[PageExample]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _made() -> list[PageExample]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        __name__,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise ServiceError(f"the collection {COLLECTION} cannot be read: {last}")
    return EXAMPLES.validate_json(out)


def examples(collection: Collection, run: Run) -> Iterator[PageExample]:
    """Queries on the standard library whose answer is among the candidates and not the first."""
    for query_id, found in run.items():
        relevant = [
            place for place, doc in enumerate(found) if doc.id in collection.qrels[query_id]
        ]
        module = query_id.removeprefix("q:").partition(":")[0].partition(".")[0]
        if module in sys.stdlib_module_names and relevant and relevant[0] > 0:
            yield PageExample(
                query=collection.queries[query_id],
                documents=[collection.corpus[doc.id].content for doc in found],
                relevant=relevant[0],
            )


def main() -> None:
    """Write the examples to standard output, as JSON."""
    from rankers.datasets.load import load_collection
    from rankers.first_stage.bm25 import bm25_run

    collection = load_collection(COLLECTION, "test")
    run = bm25_run(collection, depth=CANDIDATES, engine="bm25s")
    chosen = [found for found, _ in zip(examples(collection, run), range(QUERIES), strict=False)]
    sys.stdout.buffer.write(EXAMPLES.dump_json(chosen))


if __name__ == "__main__":
    main()
