"""A config that holds in every process: absolute paths, a hub model pinned to its revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankers.errors import UserError
from rankers.model_path import resolve
from rlpost.config import parse
from rlpost.config.absolute_paths import located
from rlpost.config.run import RunConfig

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_what_exists_here_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "model", "judge"):
        Path(folder).mkdir()
    Path("model/config.json").write_text("{}")
    Path("run.trec").write_text("")
    cfg = located(
        parse(
            {
                "data": {"path": "data", "first_stage": "rrf(bm25s,run:run.trec)"},
                "model": {"path": "model"},
                "task": {
                    "kind": "rerank",
                    "reward": {"kind": "reranker", "method": "first", "model": "judge"},
                },
            },
            origin="test",
        )
    )
    assert cfg.output == tmp_path / "runs"
    assert cfg.run_dir == tmp_path / "runs" / "run"
    assert (cfg.data.path, cfg.model.path) == (f"{tmp_path}/data", f"{tmp_path}/model")
    assert cfg.data.first_stage == f"rrf(bm25s, run:{tmp_path}/run.trec)"
    assert cfg.task.reward.model == f"{tmp_path}/judge"  # type: ignore[union-attr]


def test_names_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pydoc").mkdir()
    cfg = located(parse({"data": {"first_stage": "bm25s"}}, origin="test"))
    assert (cfg.data.path, cfg.model.path) == ("pydoc", "tiny-ranker")
    assert cfg.data.first_stage == "bm25s"


def test_a_path_that_a_fusion_cannot_hold_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a, b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("run.trec").write_text("")
    values = {"data": {"first_stage": "sum(bm25s, run:run.trec)"}}
    assert located(parse(values, origin="test")).data.first_stage == "sum(bm25s, run:run.trec)"


def test_a_hub_id_is_pinned_to_the_revision_it_has_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(hub_id: str) -> Path:
        asked.append(hub_id)
        return tmp_path / "models--org--name" / "snapshots" / COMMIT

    monkeypatch.setattr("rankers.model_path._download", download)
    cfg = located(parse({"model": {"path": "org/name"}}, origin="test"))
    assert cfg.model.path == f"org/name@{COMMIT}"
    assert located(cfg) == cfg
    assert asked == ["org/name"]
    resolve(cfg.model.path)
    assert asked[-1] == f"org/name@{COMMIT}"


def test_a_pinned_hub_id_is_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve(f"org/name@{COMMIT}") == snapshot


def test_output_in_the_copy_of_a_job_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match="output 'runs' lies in the job's copy"):
        located(RunConfig())
    located(parse({"output": str(tmp_path / "kept")}, origin="test"))
