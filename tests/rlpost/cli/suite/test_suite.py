"""`rlpost evaluate suite.yaml`: resume, failures, the table, and a cell done again."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from rankers.errors import UserError
from rlpost.cli.suite import cell as cells
from rlpost.cli.suite.config import read_suite
from tests.rankers.evaluation.test_evaluate import rlpost
from tests.small_beir import lines, small_beir

SYSTEMS = {
    "words": {"first_stage": "bm25s", "depth": 3},
    "fused": {"first_stage": "rrf(bm25s, run:given.trec)", "depth": 5},
}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    for name in ("one", "two"):
        small_beir(tmp_path / name)
    # The same queries with other words: two collections that differ.
    lines(tmp_path / "two" / "queries.jsonl", [{"_id": f"q-{i}", "text": "list"} for i in IDS])
    (tmp_path / "given.trec").write_text("".join(f"q-{i} Q0 {i} 1 1.0 t\n" for i in IDS))
    return write_suite(tmp_path, SYSTEMS)


IDS = (
    "list",
    "dict",
    "file",
    "json",
    "time",
    "path",
    "text",
    "copy",
    "hash",
    "rand",
    "sums",
    "maxi",
)


def write_suite(folder: Path, systems: dict[str, object]) -> Path:
    path = folder / "suite.yaml"
    content = {
        "out": "results",
        "collections": {"one": {"path": "one"}, "two": {"path": "two"}},
        "systems": systems,
        "measures": ["nDCG@10", "R@5"],
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def results() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    found: dict[str, dict[str, dict[str, dict[str, float]]]]
    found = json.loads(Path("results/results.json").read_text())["measures"]
    return found


def test_measures_that_cannot_be_computed_are_refused_before_any_cell(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text().replace("R@5", "R"))
    assert rlpost(monkeypatch, "evaluate", suite) == 2
    assert "measure 'R' needs a cutoff, such as R@10" in capsys.readouterr().err
    assert not Path("results").exists()


def test_where_every_cell_failed_that_is_the_last_word(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text().replace("path: ", "path: not/there/"))
    assert rlpost(monkeypatch, "evaluate", suite) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "no cell has a result: nothing to write"
    assert "cannot write" not in printed.out + printed.err
    assert printed.out.count("failed: no collection at") == 4


def test_a_folder_that_cannot_be_made_is_told_by_cell(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("results").write_text("in the way")
    assert rlpost(monkeypatch, "evaluate", suite) == 1
    assert "failed: cannot write 'results/one/words'" in capsys.readouterr().out


def test_a_suite_fills_its_table_and_links_every_cell(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rlpost(monkeypatch, "evaluate", suite) == 0
    table = results()["nDCG@10"]
    for collection in ("one", "two"):
        for system in SYSTEMS:
            one = json.loads(Path(f"results/{collection}/{system}/result.json").read_text())
            assert one["runs"]["run"]["nDCG@10"] == table["scores"][collection][system]
            assert one["cell"]["system_spec"]["first_stage"] == SYSTEMS[system]["first_stage"]
    scores = table["scores"]
    assert table["average"]["fused"] == (scores["one"]["fused"] + scores["two"]["fused"]) / 2
    assert scores["two"]["fused"] > scores["two"]["words"]
    page = Path("results/index.html").read_text()
    targets = re.findall(r'<a href="([^"]+)"', page)
    assert len(targets) == 2 * 4 + 2 * 4  # measures x cells, and two files of each cell
    assert all((Path("results") / target).is_file() for target in targets)
    assert (
        "| system | one | two | average | Borda | Kemeny |"
        in Path("results/results.md").read_text()
    )


def test_finished_cells_are_not_repeated_and_changed_ones_are(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rlpost(monkeypatch, "evaluate", suite) == 0
    done: list[str] = []
    computed = cells._computed
    monkeypatch.setattr(
        cells,
        "_computed",
        lambda cell, *rest: done.append(str(cell.folder)) or computed(cell, *rest),
    )
    before = Path("results/results.json").read_text()
    assert rlpost(monkeypatch, "evaluate", suite) == 0
    assert done == []
    assert Path("results/results.json").read_text() == before
    assert "4/4 two/fused nDCG@10" in capsys.readouterr().out
    Path("results/one/words/result.json").unlink()
    write_suite(suite.parent, SYSTEMS | {"fused": {"first_stage": "bm25s", "depth": 2}})
    lines(Path("two/queries.jsonl"), [{"_id": f"q-{i}", "text": f"{i} list"} for i in IDS])
    assert rlpost(monkeypatch, "evaluate", suite) == 0
    assert done == [
        f"results/{cell}" for cell in ("one/words", "one/fused", "two/words", "two/fused")
    ]


def test_a_failed_cell_is_named_and_its_collection_not_averaged(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one/runs").mkdir()
    Path("given.trec").rename("one/runs/mine.trec")
    write_suite(suite.parent, {"words": SYSTEMS["words"], "mine": {"first_stage": "given:mine"}})
    assert rlpost(monkeypatch, "evaluate", suite) == 1
    printed = capsys.readouterr().out
    assert "two/mine failed: two comes with no run 'mine': there is none" in printed
    table = results()["nDCG@10"]
    assert table["collections_counted"] == ["one"]
    assert table["average"] == table["scores"]["one"]
    assert list(table["scores"]["two"]) == ["words"]


def test_reranking_passes_its_options_on(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(words: list[str], **_: object) -> object:
        called.append(words)
        raise OSError("enough")

    system = {"first_stage": "bm25s", "rerank": {"method": "first", "model": "m", "strict": True}}
    write_suite(suite.parent, {"ranker": system})
    monkeypatch.setattr(cells.subprocess, "run", run)
    with pytest.raises(OSError, match="enough"):
        rlpost(monkeypatch, "evaluate", suite)
    text = " ".join(called[0])
    assert text.startswith(f"{sys.executable} -m rlpost.cli.main rerank --overwrite")
    assert "--dataset one --split test --identical-ids auto --method" in text
    assert text.endswith("--method first --model m --strict")


def test_a_cell_is_reproduced_from_nothing(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rlpost(monkeypatch, "evaluate", suite) == 0
    result = Path("results/two/fused/result.json")
    assert rlpost(monkeypatch, "evaluate", "--reproduce", result) == 0
    assert "reproduced: 2 of 2" in capsys.readouterr().out
    Path("given.trec").write_text("q-hash Q0 maxi 1 1.0 t\n")
    assert rlpost(monkeypatch, "evaluate", "--reproduce", result) == 1
    assert "differs: nDCG@10 of run" in capsys.readouterr().out


def test_mistakes_in_the_file_are_named(suite: Path) -> None:
    suite.write_text("out: r\ncollections: {a/b: {path: x}}\nsystems: {s: {first_stag: bm25}}\n")
    with pytest.raises(UserError, match=r"(?s)2 mistakes|3 mistakes") as caught:
        read_suite(suite)
    assert "first_stage" in str(caught.value)
    suite.write_text("out: r\ncollections: {a/b: {path: x}}\nsystems: {s: {first_stage: bm25}}\n")
    with pytest.raises(UserError, match="'a/b' cannot be a name"):
        read_suite(suite)
    suite.write_text(
        "out: r\ncollections: {a: {path: x}}\n"
        "systems: {s: {first_stage: bm25, rerank: {method: first}}}\n"
    )
    with pytest.raises(UserError, match="rerank lacks model"):
        read_suite(suite)
    for option, hint in (("dpeth", "did you mean 'depth'?"), ("run", "no such option")):
        suite.write_text(
            "out: r\ncollections: {a: {path: x}}\nsystems: {s: {first_stage: bm25, "
            f"rerank: {{method: first, model: m, {option}: 1}}}}}}"
        )
        with pytest.raises(UserError, match=rf"rerank.{option}: .*") as caught:
            read_suite(suite)
        assert hint in str(caught.value)


@pytest.mark.ray
def test_cells_on_ray_find_what_cells_one_by_one_find(
    suite: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    assert rlpost(monkeypatch, "evaluate", suite) == 0
    expected = results()
    suite.write_text(suite.read_text().replace("out: results", "out: parallel"))
    assert rlpost(monkeypatch, "evaluate", suite, "--workers", 2) == 0
    assert json.loads(Path("parallel/results.json").read_text())["measures"] == expected
