"""The cache: whatever keeps it from being written is one sentence that names RLPOST_CACHE."""

import errno
from pathlib import Path

import pytest

from rankers.datasets.load import load_collection
from rankers.errors import DataError, EngineError
from rankers.files.atomic import published_folder
from rankers.files.cache import cache_trouble, default_cache_dir
from rankers.first_stage.bm25 import bm25_run
from rankers.types import Collection, Document

TOY = Collection(
    name="toy",
    corpus={"a": Document(id="a", title="", text="cats sleep")},
    queries={"q": "cats"},
    qrels={"q": {"a": 1}},
)


@pytest.fixture(params=["file", "below a file", "proc"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return {
        "file": tmp_path / "file",
        "below a file": tmp_path / "file" / "cache",
        "proc": Path("/proc/cache"),
    }[request.param]


def test_a_cache_that_cannot_be_made_is_one_sentence(
    unusable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(unusable))
    message = rf"cannot write the cache '{unusable}/.*\): set RLPOST_CACHE to a folder"
    with pytest.raises(DataError, match=message):
        bm25_run(TOY, engine="bm25s")
    with pytest.raises(DataError, match=message):
        load_collection("pydoc")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system", "{folder}/x"),
        PermissionError(errno.EACCES, "Permission denied", "{folder}"),
        OSError("1000 requested and 12 written"),
        EngineError("Lucene failed with exit status 1: ... No space left on device"),
    ],
)
def test_what_a_full_or_read_only_disk_says_gets_the_remedy(
    tmp_path: Path, error: Exception
) -> None:
    if isinstance(error, OSError) and error.filename:
        error.filename = error.filename.format(folder=tmp_path)
    with (
        pytest.raises(DataError, match=r"cannot write the cache .*RLPOST_CACHE"),
        published_folder(tmp_path / "target"),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "absent", "/models/x"), ValueError("else")]
)
def test_other_errors_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, cache_trouble(tmp_path):
        raise error
    assert caught.value is error


def test_without_a_home_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RLPOST_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DataError, match="set RLPOST_CACHE to a folder"):
        default_cache_dir()
