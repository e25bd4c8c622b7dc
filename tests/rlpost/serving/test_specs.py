"""What `rlpost serve` is told: every mistake in a sentence, before a model is loaded."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankers.errors import RankerError, RlpostError, UserError
from rankers.model_path import resolve
from rankers.serve.settings import Settings
from rlpost.checkpoint import save_checkpoint
from rlpost.cli.main import app
from rlpost.serving.latest_adapter import POLICIES, adapter_in, newest_adapter
from rlpost.serving.specs import settings_from, specs_of
from rlpost.weights.adapter_files import CONFIG, WEIGHTS, write_manifest
from rlpost.weights.publish import ADAPTER, PREFIX

TWO = """
models:
  - {name: small, aliases: [rerank-v3.5], method: listwise, model: tiny-ranker, 
     options: {window: 5}}
  - {name: full, method: full, model: tiny-ranker, backend: hf, depth: 10}
limits: {documents: 50}
"""


def adapter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    lora = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none"}
    base = {"base_model_name_or_path": "tiny-ranker", "init_lora_weights": True}
    (folder / CONFIG).write_text(json.dumps(lora | base))
    (folder / WEIGHTS).write_bytes(folder.name.encode())
    return folder


def publish(run: Path, version: int) -> Path:
    folder = adapter(run / POLICIES / f"{PREFIX}{version}")
    write_manifest(folder, version=version, base_model="tiny-ranker")
    return folder


def read(tmp_path: Path, text: str, *overrides: str, **given: object) -> Settings:
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    return settings_from(file, given, overrides)


def test_a_file_with_two_models_names_what_to_load(tmp_path: Path) -> None:
    settings = read(tmp_path, TWO, "limits.query_chars=7", port=9000)
    assert (settings.port, settings.limits.documents, settings.limits.query_chars) == (9000, 50, 7)
    assert settings.aliases["rerank-v3.5"] == "small"
    specs = specs_of(settings)
    assert specs["small"].options == {"window": 5}
    assert specs["small"].model.base == resolve("tiny-ranker")
    assert (specs["full"].backend, specs["full"].depth) == ("hf", 10)


def test_the_newest_adapter_of_a_run_answers(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    with pytest.raises(UserError, match="has no adapter yet"):
        adapter_in(run)
    saved = save_checkpoint(run, 3, lambda folder: adapter(folder / ADAPTER) and None, {})
    assert newest_adapter(run) == saved / ADAPTER
    publish(run, 9)
    latest = publish(run, 10)
    assert adapter_in(run) == latest
    (latest / WEIGHTS).write_bytes(b"torn")
    assert newest_adapter(run) == run / POLICIES / f"{PREFIX}9"
    one = {"name": "m", "method": "listwise", "adapter": str(run)}
    [spec] = specs_of(settings_from(None, {"models": [one]}, [])).values()
    assert spec.model.adapter == run / POLICIES / f"{PREFIX}9"
    assert spec.model.base == resolve("tiny-ranker")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "models: field required"),
        ("models: []", "there is none"),
        ("models: [{name: a, method: full}]", "neither a model nor an adapter"),
        ("models: [{name: a b, method: full, model: m}]", "models.name"),
        (TWO + "prot: 1", "did you mean 'port'"),
        (TWO.replace("full, method", "rerank-v3.5, method"), "'rerank-v3.5' is there twice"),
        (TWO.replace("method: full", "method: fulll"), "there is no method 'fulll'"),
        (TWO.replace("window: 5", "widow: 5"), "has no option widow"),
        (TWO.replace("window: 5", "window: -5"), "window"),
        (TWO.replace("full, model: tiny-ranker", "full, model: nowhere"), "no model nowhere"),
        (TWO.replace("full, model: tiny-ranker", "full, adapter: nowhere"), "nor a run directory"),
    ],
)
def test_mistakes_are_told_before_loading(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises((RlpostError, RankerError), match=says):
        specs_of(read(tmp_path, text))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a YAML file, or --method"),
        (["--method", "listwise"], "give a YAML file, or --method"),
        (["serve.yaml", "--model", "m"], "serve.yaml says what to serve"),
        (["nowhere.yaml"], "does not exist"),
        (["--method", "full", "--model", "tiny-ranker", "prot=9"], "did you mean 'port'"),
    ],
)
def test_the_command_line_says_one_thing(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, ["serve", *arguments])
    assert says in str(done.exception)


def test_keys_are_listed() -> None:
    done = CliRunner().invoke(app, ["serve", "--keys"])
    assert "limits.queue_jobs" in done.output
