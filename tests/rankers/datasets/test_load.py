"""Collections from folders: what is read, and one sentence for everything that is wrong."""

import gzip
import pickle
from pathlib import Path

import pytest

from rankers.datasets.load import collection_key, load_collection, without_excluded
from rankers.errors import DataError
from rankers.types import ScoredDoc
from tests.paths import SHARED, needs_shared

CORPUS = '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two"}\n'
QUERIES = '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "not judged"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    return tmp_path


def test_a_beir_folder(folder: Path) -> None:
    collection = load_collection(folder, "test")
    assert collection.name == folder.name
    assert [d.content for d in collection.corpus.values()] == ["T one", "two"]
    assert collection.queries == {"q1": "first"}
    assert collection.qrels == {"q1": {"d1": 2, "d2": 0}}
    assert pickle.loads(pickle.dumps(collection)) == collection


def test_gzip_bom_crlf_and_a_missing_header_read_the_same(folder: Path) -> None:
    expected = load_collection(folder, "test")
    (folder / "corpus.jsonl").unlink()
    with gzip.open(folder / "corpus.jsonl.gz", "wt", encoding="utf-8-sig", newline="\r\n") as file:
        file.write(CORPUS + "\n")
    rows = QRELS.split("\n", 1)[1]
    (folder / "qrels" / "test.tsv").write_text(rows, encoding="utf-8-sig", newline="\r\n")
    assert load_collection(folder, "test") == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("corpus.jsonl", "", "corpus.jsonl is empty"),
        ("corpus.jsonl", CORPUS + "{broken\n", "corpus.jsonl:3: not valid JSON"),
        ("corpus.jsonl", CORPUS + '{"_id": "\\ud800"}\n', "corpus.jsonl:3: not valid JSON"),
        ("corpus.jsonl", CORPUS + "[" * 9999 + "\n", "corpus.jsonl:3: not valid JSON"),
        ("corpus.jsonl", CORPUS + "[1]\n", "corpus.jsonl:3: expected a JSON object"),
        ("corpus.jsonl", CORPUS + '{"_id": "d1", "text": "x"}\n', "jsonl:3: duplicate id 'd1'"),
        ("corpus.jsonl", '{"_id": 7, "text": "x"}\n', "field '_id' must be a string, got 7"),
        ("corpus.jsonl", '{"_id": "d1"}\n', "field 'text' must be a string, got None"),
        ("corpus.jsonl", '{"_id": " d1", "text": ""}\n', "jsonl:1: ' d1' cannot be an id"),
        ("corpus.jsonl", '{"_id": "d\\t1", "text": ""}\n', "cannot be an id"),
        ("corpus.jsonl", '{"_id": "d\\u00001", "text": ""}\n', "cannot be an id"),
        ("corpus.jsonl", '{"_id": "", "text": ""}\n', "jsonl:1: '' cannot be an id"),
        ("queries.jsonl", "", "queries.jsonl is empty"),
        ("queries.jsonl", '{"_id": "q2", "text": "x"}\n', "test.tsv:2: query 'q1' is not in"),
        ("qrels/test.tsv", "", "test.tsv is empty"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "test.tsv is empty"),
        ("qrels/test.tsv", QRELS + "q1\td9\t1\n", "test.tsv:4: document 'd9' is not in corpus"),
        ("qrels/test.tsv", QRELS + "q1\td1\t1\n", "test.tsv:4: document 'd1' is judged twice"),
        ("qrels/test.tsv", "q1\td1\thigh\n", "test.tsv:1: relevance must be a whole number"),
        ("qrels/test.tsv", QRELS + "q1\td3\t0.5\n", "must be a whole number, got '0.5'"),
        ("qrels/test.tsv", "q1\td1\tnan\n", "must be a whole number, got 'nan'"),
        ("qrels/test.tsv", "q1\td1\t1_0\n", "must be a whole number, got '1_0'"),
        ("qrels/test.tsv", "q1\td1\t1\0\n", "test.tsv:1: a NUL byte"),
        ("qrels/test.tsv", "q1 d1\n", "test.tsv:1: expected 'query doc relevance'"),
    ],
)
def test_bad_files_name_the_line_and_the_value(
    folder: Path, name: str, text: str, message: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DataError) as caught:
        load_collection(folder, "test")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text(folder: Path) -> None:
    (folder / "queries.jsonl").write_bytes(QUERIES.encode() + b"\xff\xfe\n")
    with pytest.raises(DataError, match=r"queries.jsonl:3: not UTF-8"):
        load_collection(folder, "test")


def test_a_truncated_gzip(folder: Path) -> None:
    (folder / "corpus.jsonl").unlink()
    whole = gzip.compress((CORPUS * 50).encode())
    (folder / "corpus.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"corpus.jsonl.gz:\d+: broken gzip"):
        load_collection(folder, "test")


def test_a_missing_folder_file_or_split(folder: Path) -> None:
    with pytest.raises(DataError, match="no collection at 'nowhere'"):
        load_collection("nowhere")
    with pytest.raises(DataError, match=r"no split 'dev' .*: use one of test"):
        load_collection(folder, "dev")
    (folder / "queries.jsonl").unlink()
    with pytest.raises(DataError, match=r"has no queries: it must hold queries.jsonl or"):
        load_collection(folder)
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"has no documents: it must hold corpus.jsonl or"):
        load_collection(folder)


def test_absent_judged_documents_are_kept_where_asked_and_in_pools(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text(QRELS + "q1\td9\t1\n")
    kept = load_collection(folder, unknown_docs="keep")
    assert kept.qrels["q1"] == {"d1": 2, "d2": 0, "d9": 1}
    assert kept.num_judged_absent == 1
    (folder / "runs").mkdir()
    assert load_collection(folder) == kept
    assert load_collection(folder, unknown_docs="drop").qrels["q1"] == {"d1": 2, "d2": 0}


def test_a_query_that_is_a_document_is_left_out_of_its_own_results(folder: Path) -> None:
    (folder / "queries.jsonl").write_text(
        '{"_id": "d1", "text": "t  ONE"}\n{"_id": "d2", "text": "another text"}\n'
    )
    (folder / "qrels" / "test.tsv").write_text("d1\td2\t1\nd2\td1\t1\n")
    # Equal numbers mean nothing where the texts differ, as in MS MARCO.
    assert load_collection(folder).excluded == {"d1": {"d1"}}
    assert load_collection(folder, identical_ids="keep").excluded == {}
    by_id = load_collection(folder, identical_ids="drop")
    assert by_id.excluded == {"d1": {"d1"}, "d2": {"d2"}}
    run = {"d1": [ScoredDoc("d1", 2.0), ScoredDoc("d2", 1.0)], "q": [ScoredDoc("d1", 1.0)]}
    assert without_excluded(run, by_id.excluded) == {
        "d1": [ScoredDoc("d2", 1.0)],
        "q": [ScoredDoc("d1", 1.0)],
    }


def test_the_key_is_of_the_content(folder: Path) -> None:
    key = collection_key(load_collection(folder))
    assert collection_key(load_collection(folder, unknown_docs="keep")) == key
    (folder / "qrels" / "test.tsv").write_text(QRELS.replace("d1\t2", "d1\t1"))
    assert collection_key(load_collection(folder)) != key


def test_pydoc_is_known_item_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rankers.datasets import pydoc

    entry = pydoc.DocEntry(id="m:f", title="f", summary="Does it", body="At length.")
    monkeypatch.setattr(pydoc, "load_entries", lambda split, cache_dir: [entry])
    collection = load_collection("pydoc", "dev", cache_dir=tmp_path)
    assert collection.corpus["m:f"].content == "f At length."
    assert collection.queries == {"q:m:f": "Does it"}
    assert collection.qrels == {"q:m:f": {"m:f": 1}}
    with pytest.raises(DataError, match="pydoc has no split 'all': use one of train, dev, test"):
        load_collection("pydoc", "all")


@needs_shared
@pytest.mark.parametrize(
    ("name", "docs", "queries", "absent"),
    [("scifact", 5183, 300, 0), ("nfcorpus", 3633, 323, 0), ("trec_dl19", 11843, 43, 5277)],
)
def test_real_collections(name: str, docs: int, queries: int, absent: int) -> None:
    collection = load_collection(SHARED / "data" / name)
    assert (len(collection.corpus), len(collection.queries)) == (docs, queries)
    assert collection.num_judged_absent == absent
