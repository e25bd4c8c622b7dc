"""A BEIR folder small enough for a run of seconds: twelve facts, each asked for once."""

import json
from pathlib import Path

FACTS = {
    "list": ("sort a list in place", "The method orders the items of the sequence itself."),
    "dict": ("look up a key", "Returns the value that belongs to a key of the mapping."),
    "file": ("read a text file", "Opens the path and reads all its lines as text."),
    "json": ("parse a JSON document", "Decodes a document of text into numbers and lists."),
    "time": ("measure elapsed time", "A clock that never goes backwards, in seconds."),
    "path": ("join two paths", "Puts one path behind another with a separator."),
    "text": ("split text into words", "Breaks a text where there is white space."),
    "copy": ("copy a nested list", "A deep copy shares no item with the list it came from."),
    "hash": ("hash a text file", "Feeds the bytes of a file to a digest."),
    "rand": ("draw a random item", "Chooses an item of the list, each with the same chance."),
    "sums": ("sum a list of numbers", "Adds the numbers of a list from left to right."),
    "maxi": ("largest item of a list", "Compares the items and returns the largest."),
}
HELD_OUT = 4


def small_beir(folder: Path) -> Path:
    """Write the folder: the first eight queries are ``train``, the last four ``test``."""
    (folder / "qrels").mkdir(parents=True)
    lines(
        folder / "corpus.jsonl", [{"_id": i, "title": "", "text": d} for i, (_, d) in FACTS.items()]
    )
    lines(folder / "queries.jsonl", [{"_id": f"q-{i}", "text": q} for i, (q, _) in FACTS.items()])
    ids = list(FACTS)
    for split, part in {"train": ids[:-HELD_OUT], "test": ids[-HELD_OUT:]}.items():
        rows = ["query-id\tcorpus-id\tscore", *(f"q-{i}\t{i}\t1" for i in part)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
