"""The pydoc collection: what counts as a pair, and that splits share nothing."""

import sysconfig
from pathlib import Path

import pytest

from rankers.datasets import pydoc
from rankers.datasets.pydoc import SPLITS, DocEntry, load_entries, split_docstring, split_of

BODY = "The body explains at some length what the function does and when it fails."


@pytest.mark.parametrize(
    ("docstring", "pair"),
    [
        (f"Parse one line.\n\n{BODY}", ("Parse one line", BODY)),
        (f"Parse one line. {BODY}", ("Parse one line", BODY)),
        (f"Parse a long\n    line of text.\n\n    {BODY}", ("Parse a long line of text", BODY)),
        (f"Parse it.\n\nNotes\n-----\n{BODY}", None),  # two words are no query
        ("Parse one line.\n\nToo short a body.", None),
        (f"{'word ' * 21}.\n\n{BODY}", None),
        (f">>> f(1, 2) ==\n\n{BODY}", None),
        (f"Parse one line.\n\nNotes\n-----\n{BODY}", ("Parse one line", f"Notes {BODY}")),
    ],
)
def test_a_docstring_becomes_a_query_and_a_document(
    docstring: str, pair: tuple[str, str] | None
) -> None:
    assert split_docstring(docstring) == pair


@pytest.fixture
def fake_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty modules of three public functions; one body occurs in all of them."""
    site = tmp_path / "site"
    site.mkdir()
    for number in range(20):
        functions = [
            f"def f{i}():\n    '''Do task {i} of module {number}.\n\n    {BODY} {number} {i}'''\n"
            for i in range(3)
        ]
        functions.append(f"def common():\n    '''Shared by all of {number}.\n\n    {BODY}'''\n")
        functions.append(f"def _hidden():\n    '''Not public in {number}.\n\n    {BODY} h'''\n")
        (site / f"module{number}.py").write_text("\n".join(functions), "utf-8")
    (site / "broken.py").write_text("def f(:\n", "utf-8")
    (site / "executed.py").write_text("raise SystemExit('imported')\n", "utf-8")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(site), "purelib": str(site)})
    return site


def test_splits_share_no_module_and_no_text(fake_site: Path, tmp_path: Path) -> None:
    found = {split: load_entries(split, cache_dir=tmp_path / "cache") for split in SPLITS}
    entries = [entry for split in SPLITS for entry in found[split]]
    assert len(entries) == 20 * 3 + 1  # the common body once
    assert len({entry.body for entry in entries}) == len(entries)
    assert len({entry.summary.lower() for entry in entries}) == len(entries)
    for split, members in found.items():
        assert {split_of(entry.id.split(":")[0]) for entry in members} <= {split}
    assert not [entry for entry in entries if entry.title == "_hidden"]


def test_the_cache_repeats_the_extraction(fake_site: Path, tmp_path: Path) -> None:
    first = load_entries("train", cache_dir=tmp_path / "one")
    assert load_entries("train", cache_dir=tmp_path / "two") == first
    (fake_site / "module0.py").unlink()
    assert load_entries("train", cache_dir=tmp_path / "one") == first


def test_no_module_drowns_the_others(
    fake_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydoc, "MAX_PER_MODULE", 2)
    monkeypatch.setattr(pydoc, "MAX_PER_SPLIT", {"train": 5, "dev": 5, "test": 5})
    for split in SPLITS:
        entries = load_entries(split, cache_dir=tmp_path)
        assert len(entries) <= 5
        modules = [entry.id.split(":")[0] for entry in entries]
        assert all(modules.count(module) <= 2 for module in modules)


def test_nested_names_are_qualified(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    source = f"class A:\n    def b(self):\n        '''Do the named thing.\n\n        {BODY}'''\n"
    (folder / "__init__.py").write_text(source, "utf-8")
    (folder / "inner.py").write_text(source, "utf-8")
    entries = list(pydoc._entries_of("package", sorted(folder.iterdir())))
    expected = DocEntry(id="package:A.b", title="A.b", summary="Do the named thing", body=BODY)
    assert entries[0] == expected
    assert entries[1].id == "package.inner:A.b"


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no split 'all': use one of train, dev, test"):
        load_entries("all")  # type: ignore[arg-type]
