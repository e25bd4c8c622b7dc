"""What a config names must be there: told at once, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.distill.present import load_present as load_distillation
from rlpost.tasks.input_files import load_present
from tests.small_beir import small_beir
from tests.small_movielens import small_movielens


def config(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, "utf-8")
    return path


def told(folder: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_present(config(folder, "stepz: 3\n"), overrides)
    return str(caught.value)


def test_missing_things_are_told_together_with_wrong_keys(tmp_path: Path) -> None:
    first_stage = "data.first_stage=rrf(run:/nowhere/r.trec, given:x, dense:./nowhere)"
    message = told(tmp_path, "data.path=/nowhere/d", "model.path=/nowhere/m", first_stage)
    assert message.startswith("6 mistakes in")
    for sentence in (
        "stepz: unknown key",
        "data.path: no collection at '/nowhere/d'",
        "data.first_stage: there is no file '/nowhere/r.trec'",
        "data.first_stage: /nowhere/d comes with no run 'x'",
        "data.first_stage: there is no model './nowhere'",
        "model.path: there is no model /nowhere/m",
    ):
        assert sentence in message


@pytest.mark.parametrize(
    ("removed", "sentence"),
    [
        ("corpus.jsonl", "has no documents"),
        ("queries.jsonl", "has no queries"),
        ("qrels/train.tsv", "has no split 'train'"),
        ("qrels/test.tsv", "has no split 'test'"),
    ],
)
def test_a_file_missing_inside_the_collection_is_named(
    tmp_path: Path, removed: str, sentence: str
) -> None:
    folder = small_beir(tmp_path / "beir")
    (folder / removed).unlink()
    message = told(tmp_path, f"data.path={folder}")
    assert f"data.path: {folder} {sentence}" in message
    assert message.startswith("2 mistakes in")


def test_all_missing_parts_of_a_collection_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = told(tmp_path, f"data.path={tmp_path / 'empty'}")
    assert message.startswith("5 mistakes in")


def test_one_split_for_both_is_refused(tmp_path: Path) -> None:
    message = told(tmp_path, "data.eval_split=train")
    assert "in both the training and the evaluation split" in message


def test_splits_of_pydoc_are_known(tmp_path: Path) -> None:
    assert "pydoc has no split 'validation'" in told(tmp_path, "data.eval_split=validation")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "has no weights"),
    ],
)
def test_a_file_missing_inside_the_model_is_named(
    tmp_path: Path, tiny_model: Path, name: str, sentence: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_model.iterdir():
        if path.name != name:
            (folder / path.name).symlink_to(path)
    assert sentence in told(tmp_path, f"model.path={folder}")


def test_more_tokens_than_positions_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    message = told(tmp_path, f"model.path={tiny_model}", "model.max_length=600")
    assert "max_length 600 exceeds the 512 positions" in message


@pytest.mark.parametrize("path", ["org/model", "org/model@0123abc"])
def test_a_hub_id_is_not_asked_for(tmp_path: Path, path: str) -> None:
    overrides = [f"model.path={path}", "data.first_stage=dense:all-MiniLM-L6-v2"]
    assert load_present(config(tmp_path, ""), overrides).model.path == path


def test_the_reranker_of_a_reward_must_be_there(tmp_path: Path) -> None:
    reward = "task={kind: rerank, reward: {method: listwise, model: /nowhere/r}}"
    assert "task.reward.model: there is no model /nowhere/r" in told(tmp_path, reward)
    reward = "task={kind: rerank, reward: {method: nonsense, model: tiny-ranker}}"
    assert "task.reward.method 'nonsense' is no method" in told(tmp_path, reward)


def test_a_movielens_folder_must_have_its_files(tmp_path: Path) -> None:
    folder = small_movielens(tmp_path / "ml")
    (folder / "ratings.csv").unlink()
    assert "has no ratings.csv" in told(
        tmp_path, "task.kind=recommend", f"data.path={folder}", "rollout.max_new_tokens=64"
    )


def test_paths_are_relative_to_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_beir(tmp_path / "here" / "facts")
    (tmp_path / "there").mkdir()
    path = config(tmp_path / "there", "data: {path: facts, first_stage: bm25s}\n")
    monkeypatch.chdir(tmp_path / "here")
    assert load_present(path).data.path == "facts"
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(UserError, match="no collection at 'facts'"):
        load_present(path)


def test_a_distillation_is_looked_through_as_well(tmp_path: Path) -> None:
    text = "stepz: 1\nteacher: /nowhere/t\nmodel: {path: /nowhere/m}\nstudent: {kind: first}\n"
    with pytest.raises(UserError) as caught:
        load_distillation(config(tmp_path, text))
    assert str(caught.value).startswith("3 mistakes in")
    assert "teacher: there is no file '/nowhere/t'" in str(caught.value)


def test_check_refuses_and_loads_no_model(tmp_path: Path) -> None:
    path = config(tmp_path, "data: {path: /nowhere/d}\n")
    code = (
        "import sys\nfrom rlpost.cli.main import main\n"
        f"sys.argv = ['rlpost', 'check', {str(path)!r}]\n"
        "try:\n    main()\nfinally:\n"
        "    print({'torch', 'transformers', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == "set()\n"
    assert "no collection at '/nowhere/d'" in done.stderr
