"""The folder of a run belongs to one process from the moment its name is chosen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.tracking.claim import LOCK, claim_of, claimed
from rlpost.tracking.run_dir import RunDir


def test_two_of_one_name_at_once_get_two_folders(tmp_path: Path) -> None:
    first, second = claimed(tmp_path / "runs" / "two"), claimed(tmp_path / "runs" / "two")
    assert (first.path.name, second.path.name) == ("two", "two-2")


def test_many_at_once_get_as_many_folders(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda _: claimed(tmp_path / "runs" / "x"), range(16)))
    names = {"x", *(f"x-{number}" for number in range(2, 17))}
    assert {claim.path.name for claim in claims} == names


def test_an_abandoned_folder_disappears_with_the_parents_made_for_it(tmp_path: Path) -> None:
    claim = claimed(tmp_path / "new" / "runs" / "one")
    claim.abandon()
    assert list(tmp_path.iterdir()) == []
    assert claimed(tmp_path / "new" / "runs" / "one").path.name == "one"


def test_an_abandoned_folder_stays_where_it_has_content_or_was_there(tmp_path: Path) -> None:
    full, there = claimed(tmp_path / "full"), tmp_path / "there"
    (full.path / "config.yaml").write_text("")
    full.abandon()
    there.mkdir()
    claimed(there).abandon()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        LOCK,
        "config.yaml",
        "full",
        "there",
    ]


def test_a_folder_left_by_a_killed_preparation_is_taken_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).write_text("")
    assert claimed(tmp_path / "run").path.name == "run"


def test_a_claim_becomes_a_run_that_nobody_else_may_write(tmp_path: Path) -> None:
    claim = claimed(tmp_path / "run")
    run = RunDir.create(claim.path, "steps: 1\n", claim)
    assert claim_of(claim.path) is None
    with pytest.raises(UserError, match="being written by another process"):
        RunDir.resume(claim.path, 0)
    run.close()
    RunDir.resume(claim.path, 0).close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write '.*file/run'"):
        claimed(tmp_path / "file" / "run")
