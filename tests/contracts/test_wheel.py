"""The wheel is complete: it works, with its data, where there is no checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.paths import REPO


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("rlpost", "rankers", "workers"):
        shutil.copytree(REPO / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("rlpost-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "site")

    assert kept(source) <= packed
    assert not [name for name in packed if name.split("/")[0] in {"tests", "scripts", "configs"}]
    code = "import sys; sys.argv = ['rlpost', '--help']; from rlpost.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {paths(tmp_path)!r}; {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


def kept(root: Path) -> set[str]:
    """Every file of the packages, sources and data."""
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(path) for path in files if len(path.parts) > 1}


def paths(tmp_path: Path) -> list[str]:
    """The unpacked wheel first, then the installed libraries; ``-S`` leaves the checkout out."""
    return [str(tmp_path / "site"), *(p for p in sys.path if p.endswith("site-packages"))]
