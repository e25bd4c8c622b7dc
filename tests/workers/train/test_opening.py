"""A run is opened in a folder of its own and goes on only with what it was started with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.checkpoint import save_checkpoint
from rlpost.errors import OtherRunError
from rlpost.identity import FILE
from rlpost.tasks.by_name import prepare
from rlpost.tracking.run_dir import CONFIG
from tests.small_beir import small_beir
from workers.train.opening import opened

Change = Callable[[Path], object]


class Setting:
    """A collection, a model and a config in a folder; runs are opened, none is trained."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.beir = small_beir(folder / "beir")
        self.model = shutil.copytree(model, folder / "model")
        self.run = folder / "runs" / "run"
        first_stage = folder / "first.trec"
        first_stage.write_text(
            "".join(
                f"q-{query} Q0 {doc} {rank} {9 - rank} x\n"
                for query in ("list", "dict", "file", "json", "hash", "rand", "sums", "maxi")
                for rank, doc in enumerate((query, "time", "path"), 1)
            )
        )
        self.config = folder / "config.yaml"
        self.config.write_text(
            f"output: {folder / 'runs'}\nsteps: 4\n"
            f"model: {{path: {self.model}, max_length: 256}}\n"
            f"data: {{path: {self.beir}, first_stage: 'run:{first_stage}'}}\n"
            "rollout: {engine: hf}\ntask: {kind: rerank, candidates: 3, passage_tokens: 12}\n"
        )

    def start(self, *, step: int = 0) -> None:
        with opened(self.config, [], None) as found:
            known = found.of(prepare(found.cfg, say=lambda text: None))
            known.begin().close()
            if step:
                state = {"identity": dict(known.identity)}
                save_checkpoint(self.run, step, lambda path: None, state)

    def resume(self, *overrides: str) -> None:
        with opened(None, overrides, self.run) as found:
            found.of(prepare(found.cfg, say=lambda text: None)).begin().close()

    def refused(self, *overrides: str) -> str:
        before = sorted((path, path.stat().st_mtime_ns) for path in self.run.rglob("*"))
        with pytest.raises(OtherRunError) as caught:
            self.resume(*overrides)
        assert sorted((path, path.stat().st_mtime_ns) for path in self.run.rglob("*")) == before
        return str(caught.value)


@pytest.fixture
def setting(tmp_path: Path, tiny_model: Path) -> Setting:
    return Setting(tmp_path, tiny_model)


def replaced(name: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def test_an_untouched_run_goes_on_and_may_get_more_steps(setting: Setting) -> None:
    setting.start(step=2)
    config = (setting.run / CONFIG).read_text()
    setting.resume()
    assert (setting.run / CONFIG).read_text() == config
    setting.resume("steps=9", "checkpoint.every=3")
    assert (setting.run / CONFIG).read_text() == config.replace("steps: 4", "steps: 9").replace(
        "every: 10", "every: 3"
    )
    setting.resume()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (replaced("beir/corpus.jsonl", "in seconds", "in hours"), "data: documents changed"),
        (replaced("beir/queries.jsonl", "measure elapsed", "measure the"), "training queries"),
        (replaced("beir/qrels/train.tsv", "q-json\tjson\t1\n", ""), "training judgements changed"),
        (replaced("beir/qrels/train.tsv", "q-dict\tdict\t1", "q-dict\tlist\t1"), "training judge"),
        (replaced("beir/qrels/test.tsv", "maxi\t1", "maxi\t2"), "held-out judgements changed"),
        (replaced("first.trec", "q-list Q0 time", "q-list Q0 text"), "training candidates changed"),
        (replaced("first.trec", "q-sums Q0 time", "q-sums Q0 text"), "held-out candidates changed"),
        (replaced("runs/run/config.yaml", "alpha: 32", "alpha: 64"), "model.lora.alpha was 32.0"),
        (replaced("runs/run/config.yaml", "groups_per_step: 16", "groups_per_step: 8"), "was 16"),
        (replaced("model/tokenizer_config.json", "{", "{ "), "tokenizer_config.json changed"),
    ],
)
@pytest.mark.parametrize("step", [0, 2])
def test_another_run_is_refused_and_left_as_it_is(
    setting: Setting, step: int, change: Change, sentence: str
) -> None:
    setting.start(step=step)
    change(setting.folder)
    message = setting.refused()
    assert sentence in message
    assert "cannot go on" in message


def test_an_override_of_what_is_fixed_is_refused(setting: Setting) -> None:
    setting.start(step=2)
    assert "seed was 0, now it is 5" in setting.refused("seed=5", "steps=9")
    for override, sentence in (
        ("stepz=9", "did you mean 'steps'"),
        ("output=x", "leave output out"),
        ("steps=1", "the run has trained 2 already"),
    ):
        with pytest.raises(UserError, match=sentence):
            setting.resume(override)
    setting.resume("seed=0")


def test_the_same_data_and_model_may_lie_elsewhere(setting: Setting) -> None:
    setting.start(step=2)
    for name in ("beir", "model"):
        (setting.folder / name).rename(setting.folder / f"{name}-moved")
    with pytest.raises(UserError, match="there is no model"):
        setting.resume()
    moved = [f"data.path={setting.folder}/beir-moved", f"model.path={setting.folder}/model-moved"]
    setting.resume(*moved)
    setting.resume()


def test_a_checkpoint_of_another_run_is_refused(setting: Setting) -> None:
    setting.start(step=2)
    state_of_another = {"identity": {"config": {"seed": 77}}}
    save_checkpoint(setting.run, 3, lambda path: None, state_of_another)
    message = setting.refused()
    assert "step-000003' cannot go on" in message
    assert "seed was 77, now it is 0" in message


def test_a_run_without_memory_keeps_the_keys_of_its_config(setting: Setting) -> None:
    setting.start(step=2)
    (setting.run / FILE).unlink()
    shutil.rmtree(setting.run / "checkpoints")
    assert "seed was 0, now it is 5" in setting.refused("seed=5")
    setting.resume()
    assert "documents" in json.loads((setting.run / FILE).read_text())["data"]


def test_a_preparation_that_fails_leaves_nothing(setting: Setting) -> None:
    with pytest.raises(RuntimeError), opened(setting.config, [], None):
        raise RuntimeError
    assert not (setting.folder / "runs").exists()


def test_an_interrupted_preparation_says_that_nothing_was_saved(setting: Setting) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, opened(setting.config, [], None):
        raise KeyboardInterrupt
    assert str(caught.value) == "interrupted before training began: start the command again"
    assert not setting.run.exists()


def test_two_of_one_name_are_opened_side_by_side(setting: Setting) -> None:
    with opened(setting.config, [], None) as one, opened(setting.config, [], None) as other:
        assert (one.path.name, other.path.name) == ("run", "run-2")
    assert not (setting.folder / "runs").exists()


def test_a_run_is_resumed_by_one_process_at_a_time(setting: Setting) -> None:
    setting.start(step=2)
    with opened(None, [], setting.run), pytest.raises(UserError, match="by another process"):
        setting.resume()
