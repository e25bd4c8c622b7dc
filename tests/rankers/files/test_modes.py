"""What is written for others to read is as readable as the umask lets it be."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rankers.files.atomic import published_folder, write_lines
from rankers.files.modes import fresh_folder, open_alike

UMASKS = [(0o022, 0o755, 0o644), (0o027, 0o750, 0o640), (0o077, 0o700, 0o600)]
by_umask = pytest.mark.parametrize(("umask", "folder_mode", "file_mode"), UMASKS)


@contextmanager
def masked(umask: int) -> Iterator[None]:
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@by_umask
def test_a_published_folder_and_its_private_files(
    tmp_path: Path, umask: int, folder_mode: int, file_mode: int
) -> None:
    with masked(umask), published_folder(tmp_path / "index") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_bytes(b"w")
        (folder / "deep" / "weights").chmod(0o600)
    assert mode(tmp_path / "index") == mode(tmp_path / "index" / "deep") == folder_mode
    assert mode(tmp_path / "index" / "deep" / "weights") == file_mode


@by_umask
def test_a_file_of_lines(tmp_path: Path, umask: int, folder_mode: int, file_mode: int) -> None:
    with masked(umask):
        write_lines(tmp_path / "run.trec", ["a", "b"])
    assert mode(tmp_path / "run.trec") == file_mode
    assert [path.name for path in tmp_path.iterdir()] == ["run.trec"]


def test_bits_of_the_folder_that_no_file_has_are_left_out(tmp_path: Path) -> None:
    folder = fresh_folder(tmp_path / "x")
    (folder / "a").touch(0o600)
    (folder / "link").symlink_to(tmp_path / "nowhere")
    folder.chmod(0o2775)
    open_alike(folder)
    assert mode(folder / "a") == 0o664
    assert folder.name.startswith(".x-")
