"""Names of ir_datasets: its own loading code over files in its cache, or a clear word."""

import socket
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from rankers.datasets.by_name import names
from rankers.datasets.load import load_collection
from rankers.errors import DataError
from tests.small_beir import small_beir


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ir_datasets with an empty cache and no network; it remembers paths, so it starts anew."""
    import sys

    for module in [name for name in sys.modules if name.split(".")[0] == "ir_datasets"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IR_DATASETS_DL_TRIES", "1")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "home"


def test_a_name_loads_what_the_folder_holds(home: Path, tmp_path: Path) -> None:
    folder = small_beir(tmp_path / "scifact")
    (home / "beir" / "scifact").mkdir(parents=True)
    with zipfile.ZipFile(home / "beir" / "scifact" / "source.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".jsonl":  # the official rows carry metadata
                rows = path.read_text().replace("}\n", ', "metadata": {}}\n')
                archive.writestr(f"scifact/{path.name}", rows)
            elif path.is_file():
                archive.write(path, f"scifact/{path.relative_to(folder)}")
    expected = load_collection(folder, "test")
    for found in (load_collection("beir/scifact", "test"), load_collection("beir/scifact/test")):
        assert found.corpus == expected.corpus
        assert found.queries == expected.queries
        assert found.qrels == expected.qrels
        assert found.name == "beir-scifact-test"


def test_excluded_documents_are_no_judgements(home: Path) -> None:
    rows = {
        "docs": [{"id": "b1", "content": "one"}, {"id": "b2", "content": "two"}],
        "queries": [
            {
                "id": "0",
                "query": "why?",
                "reasoning": "",
                "excluded_ids": ["b2"],
                "gold_ids": ["b1"],
                "gold_ids_long": ["b1"],
                "gold_answer": "",
            }
        ],
    }
    (home / "bright").mkdir(parents=True)
    for part, content in rows.items():
        pyarrow.parquet.write_table(
            pa.Table.from_pylist(content), home / "bright" / f"aops.{part}.parquet"
        )
    for source in ("Gemini-1.0", "claude-3-opus", "gpt4", "grit", "llama3-70b"):
        path = home / "bright" / f"aops.{source}_reason.queries.parquet"
        pyarrow.parquet.write_table(pa.Table.from_pylist([{"id": "0", "reasoning": ""}]), path)
    collection = load_collection("bright/aops")
    assert collection.qrels == {"0": {"b1": 1}}
    assert collection.excluded == {"0": {"b2"}}
    assert collection.corpus["b2"].content == "two"


def test_without_network_the_files_and_their_places_are_named(home: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_collection("beir/scifact")
    message = str(caught.value)
    assert "cannot get 'beir/scifact/test'" in message
    assert f"scifact.zip as {home / 'beir' / 'scifact' / 'source.zip'}" in message
    assert "nfcorpus.zip" not in message
    assert "\n" not in message


def test_a_name_that_is_none(home: Path) -> None:
    with pytest.raises(DataError, match=r"no collection at 'beir/scifct'.*did you mean beir/scif"):
        load_collection("beir/scifct")
    with pytest.raises(DataError, match="has no judged queries: use one of nano-beir/arguana"):
        load_collection("nano-beir")


def test_names_are_found_by_a_part_of_them(home: Path) -> None:
    found = names("trec-dl-2019")
    assert "msmarco-passage/trec-dl-2019/judged" in found
    assert all("trec-dl-2019" in name for name in found)
