"""White space as trec_eval reads it, and ids with blanks in files that separate by blanks."""

import gzip
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankers.evaluation.measures import evaluate
from rankers.files.trec import read_qrels, read_run, run_tag, write_qrels, write_run
from rankers.files.trec_words import as_id, as_word
from rankers.types import ScoredDoc
from tests.rankers.evaluation.test_measures import trec_eval_binary

SPACES = [" ", "\t", " \t", "\t ", "  ", "\v", "\f", " \f ", "\t\t"]
BEFORE = ["", " ", "\t"]
AFTER = ["\n", "\r\n", " \n", "\t\r\n", "\v\n"]


@settings(max_examples=25)
@given(st.data())
def test_any_white_space_separates_as_in_c(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spaces")
    space = st.sampled_from(SPACES)

    def text(rows: list[list[str]]) -> bytes:
        lines = []
        for row in rows:
            parts = [row[0], *(data.draw(space) + word for word in row[1:])]
            before, after = data.draw(st.sampled_from(BEFORE)), data.draw(st.sampled_from(AFTER))
            lines.append(before + "".join(parts) + after)
        return "".join(lines).encode()

    docs = ["a\u00a0b", "c%20d", '"e"', "f\u2028g", "h\x85"]
    run = text([["q\u3000", "Q0", doc, "1", f"{-i}", "tag"] for i, doc in enumerate(docs)])
    (folder / "run.gz").write_bytes(gzip.compress(run))
    (folder / "run").write_bytes(run)
    (folder / "qrels").write_bytes(text([["q\u3000", "0", doc, "1"] for doc in docs]))
    expected = {"q\u3000": [ScoredDoc(doc, -i) for i, doc in enumerate(docs)]}
    assert read_run(folder / "run") == read_run(folder / "run.gz") == expected
    assert run_tag(folder / "run") == "tag"
    assert read_qrels(folder / "qrels") == {"q\u3000": dict.fromkeys(docs, 1)}


@pytest.mark.parametrize(
    "line",
    [
        "q Q0 d\t1 2.0 t\n",
        "q\tQ0 d  1\t2.0 t\n",
        "q Q0\td 1 2.0\tt \n",
        "q Q0 d 1 2.0 t\t\n",
        " q Q0 d 1 2.0 t\n",
        "q Q0 d\v1 2.0 t\r\n",
        "q Q0 d \t1 2.0 t\n",
        "\ufeffq Q0 d 1 2.0 t\r\n",
    ],
)
def test_a_tab_beside_a_blank_is_no_part_of_an_id(tmp_path: Path, line: str) -> None:
    path = tmp_path / "run"
    other = "q Q0 other 2 1.0 t\n"
    path.write_bytes((line + other).encode())
    (tmp_path / "qrels").write_bytes(b"q 0 d 1\n")
    found = evaluate(read_run(path), read_qrels(tmp_path / "qrels"))
    assert found.mean == {"nDCG@10": 1, "RR@10": 1}
    if not line.startswith("\ufeff"):  # trec_eval takes the mark for a part of the query's id
        printed = subprocess.check_output(
            [trec_eval_binary(tmp_path), "-m", "recip_rank", tmp_path / "qrels", path], text=True
        )
        assert printed.split() == ["recip_rank", "all", "1.0000"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_id_is_one_word_and_comes_back(text: str) -> None:
    word = as_word(text)
    assert word.encode().split() == [word.encode()]
    assert as_id(word) == text


@pytest.mark.parametrize("word", ["d1", "50%", "a%20b", "%41", "http://x/%25%20", "100%:x", "%%"])
def test_ordinary_ids_stand_as_they_are(word: str) -> None:
    assert as_word(word) == as_id(word) == word


def test_an_id_that_is_a_title_is_written_as_one_word(tmp_path: Path) -> None:
    ids = ["Bread dough:2", "100% sure", "%:x", "a%20b", "tab\there", "plain"]
    run = {"what is it": [ScoredDoc(doc, -float(i)) for i, doc in enumerate(ids)]}
    write_run(tmp_path / "run", run, tag="t")
    lines = (tmp_path / "run").read_text().splitlines()
    assert lines[0] == "%:what%20is%20it Q0 %:Bread%20dough:2 1 0 t"
    assert [line.split()[2] for line in lines[1:]] == [
        "%:100%25%20sure",
        "%:%25:x",
        "a%20b",
        "%:tab%09here",
        "plain",
    ]
    assert read_run(tmp_path / "run") == run
    qrels = {"what is it": {doc: i for i, doc in enumerate(ids)}}
    write_qrels(tmp_path / "qrels", qrels)
    assert read_qrels(tmp_path / "qrels") == qrels


def test_tabs_let_ids_hold_blanks(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a topic\tQ0\tBread dough:2\t1\t2.0\tmy run\n")
    assert read_run(tmp_path / "run") == {"a topic": [ScoredDoc("Bread dough:2", 2.0)]}
    head = "query-id\tcorpus-id\tscore\n"
    rows = "q 0\tBread dough:2\t2.0\nq 0\tplain\t0\n"
    for text in (head + rows, rows, rows.replace("\t", " \t "), rows.replace("\n", "\r\n")):
        (tmp_path / "qrels").write_text(text)
        assert read_qrels(tmp_path / "qrels") == {"q 0": {"Bread dough:2": 2, "plain": 0}}
    for text in ("q 0\td1\t1\nq Q0 d2 0\n", "q\t0\td1\t1\nq\t0\td2\t0\n", "q 0\td1\t1\nq 0\td2\t0"):
        (tmp_path / "qrels").write_text(text)
        assert read_qrels(tmp_path / "qrels") == {"q": {"d1": 1, "d2": 0}}


@pytest.mark.parametrize("grade", ["2", "2.0", "2.00", "+2", "2.", "2e0", "0.2e1"])
def test_grades_that_are_whole_numbers_however_written(tmp_path: Path, grade: str) -> None:
    (tmp_path / "qrels").write_text(f"q 0 d {grade}\nq 0 e -1.0\n")
    assert read_qrels(tmp_path / "qrels") == {"q": {"d": 2, "e": -1}}
