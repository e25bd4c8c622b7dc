"""First stages by name: what `bm25`, `dense:MODEL` or `rrf(bm25, dense:MODEL)` stand for.

| name | candidates |
|---|---|
| bm25, bm25-multifield, bm25-rm3 | Lucene (Pyserini) |
| bm25s | bm25s: no Java, no stemming, other numbers |
| dense:MODEL | sentence-transformers, exact search |
| given:NAME | the run ``runs/NAME.trec`` that comes with the collection |
| run:FILE | a TREC run |
| rrf(A, B, ...) | reciprocal-rank fusion of others |
| sum(A, B, ...) | sum of their min-max normalised scores |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rankers.datasets.load import without_excluded
from rankers.errors import DataError
from rankers.files.trec import read_run
from rankers.first_stage.bm25 import Fields, Rm3, bm25_run, bm25_tag
from rankers.first_stage.dense import dense_run, dense_tag
from rankers.first_stage.fusion import reciprocal_rank_fusion, score_fusion
from rankers.types import Collection, Run

LUCENE = frozenset({"bm25", "bm25-multifield", "bm25-rm3"})
"""First stages that need Java."""

_FUSION_DEPTH = 1000


class FirstStage(NamedTuple):
    """Candidates, and the tag their run goes by: it names the engine."""

    run: Run
    tag: str


class _Request(NamedTuple):
    collection: Collection
    depth: int
    given: Mapping[str, Path]
    cache_dir: Path | None


def first_stage(
    collection: Collection,
    name: str,
    *,
    depth: int = 100,
    given: Mapping[str, Path] | None = None,
    cache_dir: Path | None = None,
) -> FirstStage:
    """The ``depth`` best candidates of every query by the first stage called ``name``.

    ``given``: run name -> file, from ``rankers.datasets.folders.given_runs``. Raises DataError on
    an unknown name, EngineError where an engine is not installed.
    """
    return _stage(name.strip(), _Request(collection, depth, given or {}, cache_dir))


def parts_of(name: str) -> list[str]:
    """The single first stages that ``name`` stands for; more than one where it fuses.

    Raises DataError on an unknown name, as ``first_stage`` does, without doing anything.
    """
    name = name.strip()
    for opening in _FUSIONS:
        if name.startswith(f"{opening}(") and name.endswith(")"):
            arguments = _arguments(name[len(opening) + 1 : -1])
            return [part for argument in arguments for part in parts_of(argument)]
    if name not in _BM25 and name.partition(":")[0] not in _WITH_VALUE:
        raise _unknown(name)
    return [name]


def renamed(name: str, rename: Callable[[str], str]) -> str:
    """``name`` with every single first stage in it replaced by what ``rename`` makes of it."""
    name = name.strip()
    for opening in _FUSIONS:
        if name.startswith(f"{opening}(") and name.endswith(")"):
            arguments = _arguments(name[len(opening) + 1 : -1])
            return f"{opening}({', '.join(renamed(argument, rename) for argument in arguments)})"
    return rename(name)


def _stage(name: str, request: _Request) -> FirstStage:
    if name in _BM25:
        return _BM25[name](request)
    for opening, fuse in _FUSIONS.items():
        if name.startswith(f"{opening}(") and name.endswith(")"):
            return fuse(_arguments(name[len(opening) + 1 : -1]), request)
    kind, _, value = name.partition(":")
    if kind in _WITH_VALUE:
        return _WITH_VALUE[kind](value, request)
    raise _unknown(name)


def _unknown(name: str) -> DataError:
    return DataError(
        f"unknown first stage {name!r}: use {', '.join(_BM25)}, "
        f"{', '.join(f'{kind}:...' for kind in _WITH_VALUE)} or "
        f"{', '.join(f'{fusion}(A, B)' for fusion in _FUSIONS)}"
    )


def _lucene(request: _Request, *, fields: Fields = "flat", rm3: Rm3 | None = None) -> FirstStage:
    run = bm25_run(
        request.collection,
        depth=request.depth,
        fields=fields,
        rm3=rm3,
        cache_dir=request.cache_dir,
    )
    return FirstStage(run, bm25_tag(fields=fields, rm3=rm3))


def _bm25s(request: _Request) -> FirstStage:
    run = bm25_run(
        request.collection, depth=request.depth, engine="bm25s", cache_dir=request.cache_dir
    )
    return FirstStage(run, bm25_tag(engine="bm25s"))


def _dense(model: str, request: _Request) -> FirstStage:
    run = dense_run(request.collection, model, depth=request.depth, cache_dir=request.cache_dir)
    return FirstStage(run, dense_tag(model))


def _given(name: str, request: _Request) -> FirstStage:
    if name not in request.given:
        there = ", ".join(request.given) or "none"
        raise DataError(f"{request.collection.name} comes with no run {name!r}: there is {there}")
    return FirstStage(_read(request.given[name], request), name)


def _file(path: str, request: _Request) -> FirstStage:
    return FirstStage(_read(Path(path), request), Path(path).stem)


def _read(path: Path, request: _Request) -> Run:
    collection = request.collection
    given = read_run(path)
    run = without_excluded(given, collection.excluded)
    found = {
        query_id: run[query_id][: request.depth]
        for query_id in collection.queries
        if query_id in run
    }
    if not found:
        raise DataError(
            f"no query of {path} is among the {len(collection.queries)} queries of "
            f"{collection.name}, such as {_one(collection.queries)}; it has {_one(given)}: check "
            "that they belong together"
        )
    docs = {doc.id for ranked in found.values() for doc in ranked}
    unknown = sorted(docs - collection.corpus.keys())
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(docs)} documents of {path}, such as {unknown[0]!r}, are not "
            f"in {collection.name}, which has {_one(collection.corpus)}: check that they belong "
            "together"
        )
    return found


def _one(ids: Iterable[str]) -> str:
    return repr(next(iter(ids)))


def _fused(
    fuse: Callable[..., Run], opening: str, names: Sequence[str], request: _Request
) -> FirstStage:
    if len(names) < 2:
        raise DataError(f"{opening}(...) fuses at least two first stages, got {len(names)}")
    deep = request._replace(depth=max(request.depth, _FUSION_DEPTH))
    parts = [_stage(name, deep) for name in names]
    run = fuse([part.run for part in parts], depth=request.depth)
    return FirstStage(run, f"{opening}-{'+'.join(part.tag for part in parts)}")


def _arguments(text: str) -> list[str]:
    """``a, rrf(b, c)`` -> [``a``, ``rrf(b, c)``]."""
    names, level = [""], 0
    for letter in text:
        level += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and level == 0:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]


_BM25: dict[str, Callable[[_Request], FirstStage]] = {
    "bm25": _lucene,
    "bm25-multifield": partial(_lucene, fields="multifield"),
    "bm25-rm3": partial(_lucene, rm3=Rm3()),
    "bm25s": _bm25s,
}
_WITH_VALUE: dict[str, Callable[[str, _Request], FirstStage]] = {
    "dense": _dense,
    "given": _given,
    "run": _file,
}
_FUSIONS: dict[str, Callable[[Sequence[str], _Request], FirstStage]] = {
    "rrf": partial(_fused, reciprocal_rank_fusion, "rrf"),
    "sum": partial(_fused, score_fusion, "sum"),
}
