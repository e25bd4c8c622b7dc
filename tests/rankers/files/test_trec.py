"""Runs and qrels on disk: strict reading, and writing that leaves no ties to disagree on."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankers.errors import DataError
from rankers.files.trec import (
    _read_run_lines,
    decreasing_float32,
    read_qrels,
    read_run,
    write_qrels,
    write_run,
)
from rankers.files.trec_columns import read_run_columns
from rankers.types import ScoredDoc

FINITE = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)


def test_scores_that_decrease_already_are_kept() -> None:
    assert decreasing_float32([2.5, 1.0, 0.0, -3.0]) == [2.5, 1.0, 0.0, -3.0]


def test_ties_are_lowered_by_one_float_each() -> None:
    below = np.nextafter(np.float32(1), np.float32(0))
    assert decreasing_float32([1.00000001, 1.0]) == [1.0, float(below)]
    assert decreasing_float32([0.0, -0.0]) == [0.0, -float(np.finfo(np.float32).tiny)]
    assert decreasing_float32([]) == []


def test_scores_that_rise_are_lowered_to_keep_the_given_order() -> None:
    lowered = decreasing_float32([1.0, 5.0, 0.5])
    assert lowered[0] == 1.0
    assert 0.99 < lowered[1] < 1.0
    assert lowered[2] == 0.5


@given(st.lists(FINITE | st.sampled_from([0.0, -0.0, 1.0]), max_size=50))
def test_lowered_scores_decrease_strictly_as_32_bit_floats(scores: list[float]) -> None:
    lowered = np.array(decreasing_float32(scores), dtype=np.float32)
    assert (np.diff(lowered) < 0).all()
    assert (lowered <= np.array(scores, dtype=np.float32)).all()


@given(st.lists(FINITE, min_size=1, max_size=30))
def test_a_run_written_is_read_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float]
) -> None:
    path = tmp_path_factory.mktemp("runs") / "a.trec"
    run = {"q": [ScoredDoc(f"d{i % 7}{i}", score) for i, score in enumerate(scores)]}
    write_run(path, run, tag="t")
    found = read_run(path)
    assert [doc.id for doc in found["q"]] == [doc.id for doc in run["q"]]
    assert [doc.score for doc in found["q"]] == pytest.approx(
        decreasing_float32(scores), rel=1e-8, abs=0
    )


def test_reading_follows_trec_eval_and_not_the_rank_column(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_text("q Q0 a 1 1.0 t\nq Q0 c 2 1.00000001 t\nq Q0 b 3 2 t\n")
    assert [doc.id for doc in read_run(path)["q"]] == ["b", "c", "a"]


LINES = st.lists(
    st.tuples(
        st.sampled_from(["q1", "q2", "30"]),
        st.sampled_from(["a", "b", "NA", "null", "7", '"x"']),
        st.sampled_from(["1", "1.00000001", "-2e3", "16777217", "16777216"]),
    ),
    min_size=1,
    unique_by=lambda line: line[:2],
)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_reading_by_columns_equals_reading_by_lines(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    end: str,
    unusual: bool,
) -> None:
    path = tmp_path_factory.mktemp("runs") / "a.trec"
    lines = [f"{q} Q0 {d} 1 {score} t{end}" for q, d, score in rows]
    path.write_bytes(b"\xef\xbb\xbf" * unusual + (end * unusual).join(lines).encode())
    by_columns = read_run_columns(path)
    assert by_columns is not None
    assert list(by_columns.items()) == list(_read_run_lines(path).items())
    path.write_text("".join(lines).replace(" Q0 ", "\tQ0   "))
    assert read_run_columns(path) is None
    assert read_run(path) == by_columns


def test_a_gzipped_run(tmp_path: Path) -> None:
    path = tmp_path / "a.trec.gz"
    path.write_bytes(gzip.compress(b"q Q0 a 1 1.0 t\n"))
    assert read_run(path) == {"q": [ScoredDoc("a", 1.0)]}
    whole = "".join(f"q Q0 d{i} 1 {-i} t\n" for i in range(999)).encode()
    path.write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(DataError, match=r"a.trec.gz:\d+: broken gzip"):
        read_run(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (
            "q Q0 a 1 1.0 t\nq Q0 b 2 inf t\n",
            ":2: score of 'b' must be finite as a 32-bit float, got inf",
        ),
        ("q Q0 a 1  t\n", ":1: expected 'query Q0 doc rank score tag'"),
        ("q Q0 a 1 1.0 t\nq Q0 a 2 0.5 t\n", ":2: 'a' is listed twice for query 'q'"),
        ("q Q0 a 1 nan t\n", ":1: score of 'a' must be finite as a 32-bit float, got nan"),
        ("q Q0 a 1 1e39 t\n", ":1: score of 'a' must be finite as a 32-bit float, got 1e39"),
        ("q Q0 a 1 high t\n", ":1: score must be a number, got 'high'"),
        ("q Q0 a b 1 1.0 t\n", ":1: expected 'query Q0 doc rank score tag'"),
        ("q a 1.0\n", ":1: expected 'query Q0 doc rank score tag'"),
        ("q Q0 a 1 1_0 t\n", ":1: score must be a number, got '1_0'"),
        ("q Q0 a 1 \u0661 t\n", ":1: score must be a number"),
        ("q Q0 a 1 1.0 t\nq Q0 b\0 2 0.5 t\n", ":2: a NUL byte"),
    ],
)
def test_bad_runs_name_the_line_and_the_value(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.trec"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_run(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("docs", "tag", "message"),
    [
        ([ScoredDoc("a", 1.0), ScoredDoc("a", 0.5)], "t", "lists a document twice"),
        ([ScoredDoc("a", float("nan"))], "t", "must be finite as 32-bit floats, got nan"),
        ([ScoredDoc("a", 1e39)], "t", "must be finite as 32-bit floats, got 1e"),
        ([ScoredDoc("", 1.0)], "t", "'' cannot be an id"),
        ([ScoredDoc("a\0b", 1.0)], "t", "cannot be an id"),
        ([ScoredDoc("a", 1.0)], "two words", "must be one word, got 'two words'"),
    ],
)
def test_a_bad_run_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, docs: list[ScoredDoc], tag: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_run(tmp_path / "a.trec", {"q": docs}, tag=tag)
    assert list(tmp_path.iterdir()) == []


def test_qrels_are_read_as_they_were_written(tmp_path: Path) -> None:
    qrels = {"q1": {"a": 3, "b": -1}, "q2": {"a": 0}}
    write_qrels(tmp_path / "qrels", qrels)
    assert read_qrels(tmp_path / "qrels") == qrels
