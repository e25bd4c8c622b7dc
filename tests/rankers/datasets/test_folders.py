"""Layouts besides BEIR's: the same collection written and read as MS MARCO, TREC and BRIGHT."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from rankers.datasets.export import Layout, write_collection
from rankers.datasets.folders import given_runs, is_collection, splits_of_folder
from rankers.datasets.load import load_collection
from rankers.errors import DataError
from rankers.types import Collection, Document

TOY = Collection(
    name="toy",
    corpus={
        "d1": Document(id="d1", title="Cats & dogs", text="They fight <often>."),
        "d2": Document(id="d2", title="", text="Fish swim."),
    },
    queries={"1": "who fights?", "2": "who swims?"},
    qrels={"1": {"d1": 2, "d2": -1}, "2": {"d2": 1}},
    excluded={"2": frozenset({"d1"})},
)


@pytest.mark.parametrize("layout", ["beir", "msmarco", "trec"])
def test_every_layout_reads_back_what_was_written(tmp_path: Path, layout: Layout) -> None:
    folder = tmp_path / "toy"
    files = write_collection(TOY, folder, split="dev", layout=layout)
    assert load_collection(folder, "dev") == TOY
    assert is_collection(folder)
    assert splits_of_folder(folder) == ["dev"]
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(files)


TITLES = Collection(
    name="titles",
    corpus={
        name: Document(id=name, title="", text="x")
        for name in ("Bread  dough:2", "AT&T <x>", "100%20 sure", "50%", "%:odd", "\u00e9\u00a0b")
    },
    queries={"what is it": "x", "2": "y"},
    qrels={
        "what is it": {"Bread  dough:2": 2, "100%20 sure": -1, "%:odd": 1},
        "2": {"AT&T <x>": 1, "50%": 0, "\u00e9\u00a0b": 3},
    },
    excluded={"what is it": frozenset({"50%", "AT&T <x>"})},
)


@pytest.mark.parametrize("layout", ["beir", "msmarco", "trec"])
def test_ids_that_are_titles_are_read_back_from_every_layout(
    tmp_path: Path, layout: Layout
) -> None:
    write_collection(TITLES, tmp_path / "titles", split="dev", layout=layout)
    assert load_collection(tmp_path / "titles", "dev") == TITLES


def test_a_second_split_keeps_the_queries_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    other = Collection(name="toy", corpus=TOY.corpus, queries={"3": "x"}, qrels={"3": {"d1": 1}})
    write_collection(TOY, folder, split="test")
    write_collection(other, folder, split="dev")
    assert load_collection(folder, "test") == TOY
    assert load_collection(folder, "dev") == other
    assert splits_of_folder(folder) == ["dev", "test"]


def test_trec_files_as_published(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "docs.trec.gz", "wt") as file:
        file.write(
            "<DOC>\n<DOCNO> AP-1 </DOCNO>\n<HEAD>One</HEAD>\n<HEAD>and on</HEAD>\n"
            "<TEXT>\n<p>First &amp;\nlast.</p>\n</TEXT>\n</DOC>\n<DOC><DOCNO>AP-2</DOCNO></DOC>\n"
        )
    (tmp_path / "topics.txt").write_text(
        "<top>\n\n<num> Number: 301 \n<title> Topic: International crime\n\n<desc> Description:\n"
        "Identify.\n</top>\n\n<top>\n<num>302\n<title>\nPoliomyelitis\n</top>\n"
    )
    (tmp_path / "qrels.txt").write_text("301 0 AP-1 1\n302 0 AP-2 0\n")
    collection = load_collection(tmp_path)
    assert collection.corpus["AP-1"] == Document(
        id="AP-1", title="One and on", text="First & last."
    )
    assert collection.corpus["AP-2"].content == ""
    assert collection.queries == {"301": "International crime", "302": "Poliomyelitis"}

    (tmp_path / "topics.txt").write_text(
        '<topics>\n<topic number="301"><query>crime</query><question>?</question></topic>\n'
        '<topic number="302"><title>polio</title></topic>\n</topics>\n'
    )
    assert load_collection(tmp_path).queries == {"301": "crime", "302": "polio"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("docs.trec", "<DOC>\n<DOCNO>a</DOCNO>\n", "docs.trec:1: <DOC> is not closed"),
        ("docs.trec", "\n<DOC>\n</DOC>\n", "docs.trec:2: a <DOC> without <DOCNO>"),
        ("docs.trec", "plain text\n", "docs.trec is empty"),
        ("topics.txt", "<top>\n<num> 1\n</top>\n", "topics.txt:1: a <top> needs <num> and <title>"),
        ("topics.txt", "<topics>\n<topic>\n", "topics.txt:2: not valid XML"),
        ("topics.txt", "1 no tab\n", "topics.txt:1: expected 2 columns separated by tabs, got 1"),
        ("topics.txt", "1\ta\n1\tb\n", "topics.txt:2: duplicate id '1'"),
    ],
)
def test_broken_trec_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_collection(TOY, tmp_path, split="test", layout="trec")
    (tmp_path / "topics.test.txt").rename(tmp_path / "topics.txt")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        load_collection(tmp_path)
    assert message in str(caught.value)


def bright(folder: Path) -> Path:
    """Two domains as the authors publish them, one of them with excluded documents."""
    for domain, excluded in (("biology", ["b2"]), ("pony", ["N/A"])):
        documents = [{"id": f"{domain[0]}{i}", "content": f"text {i}"} for i in (1, 2)]
        examples = [
            {"id": 0, "query": "why?", "excluded_ids": excluded, "gold_ids": [f"{domain[0]}1"]}
        ]
        for part, rows in (("documents", documents), ("examples", examples)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            path = folder / part / f"{domain}-00000-of-00001.parquet"
            pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    return folder


def test_bright_leaves_out_what_its_queries_exclude(tmp_path: Path) -> None:
    folder = bright(tmp_path / "BRIGHT")
    collection = load_collection(folder, "biology")
    assert collection.name == "BRIGHT-biology"
    assert collection.queries == {"0": "why?"}
    assert collection.qrels == {"0": {"b1": 1}}
    assert collection.excluded == {"0": {"b2"}}
    assert load_collection(folder, "pony").excluded == {}
    assert splits_of_folder(folder) == ["biology", "pony"]
    with pytest.raises(DataError, match=r"no documents/test-\*.parquet: .* here biology, pony"):
        load_collection(folder)
    (folder / "documents" / "pony-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable parquet file"):
        load_collection(folder, "pony")


def test_runs_that_come_with_a_collection(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "b.trec").touch()
    (tmp_path / "runs" / "a.trec").touch()
    assert list(given_runs(tmp_path)) == ["a", "b"]
    assert given_runs(tmp_path / "nowhere") == {}
