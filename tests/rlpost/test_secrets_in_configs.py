"""No error about a config, of whatever kind, shows a key that is in it."""

from pathlib import Path

import pytest

from rankers.errors import DataError, UserError
from rlpost.config import load
from rlpost.serving.model_spec import located
from rlpost.serving.specs import settings_from

MODELS = "models: [{name: a, method: listwise, model: tiny-ranker}]\n"
KEY = "TOPSECRETKEY"

SERVING = [
    f"keys: {KEY}",
    "keys: [1234567890]",
    f"keys: {{{KEY}: 1}}",
    f"keys: [[{KEY}]]",
    f"keys: {{{KEY}: 1, {KEY}: 2}}",
    f"keys: [{KEY}, 3]",
    f"keys: [{KEY}",
    f"keys: *{KEY}",
    f"keys: !{KEY} x",
    f"keys: '{KEY}' x",
    f"keys: '{KEY}",
    f"keys: {KEY}: 3",
    f'keys: "{KEY}\\q"',
    f"keys:\n\t- {KEY}",
    f"kes: [{KEY}]",
    f"api_key: {KEY}",
    f"OPENAI_API_KEY: {KEY}",
    f"server: {{keys: [{KEY}]}}",
    f"limits: {{api_keys: [{KEY}]}}",
    f"keys_file: [{KEY}]",
    f"models: [{{name: a, method: x, model: m, api_key: {KEY}}}]",
    f"models: [{{name: a, method: x, model: m, base_url: 'http://me:{KEY}@host/v1'}}]",
    f"models: [{{name: a, method: x, model: m, base_url: ['http://me:{KEY}@host/v1']}}]",
]
OVERRIDES = [
    f"keys={KEY}",
    f"keys=[{KEY}",
    f"keys.0={KEY}",
    f"keys.a.b={KEY}",
    f"keys:{KEY}",
    f"={KEY}",
    f"host.keys=[{KEY}]",
    f"port.apikey={KEY}",
    f"base_url=http://me:{KEY}@host [",
]


def told(file: Path, text: str, *overrides: str) -> str:
    file.write_text(text)
    with pytest.raises(UserError) as error:
        settings_from(file, {}, overrides)
    return str(error.value)


@pytest.mark.parametrize("line", SERVING)
def test_of_a_server_by_file(tmp_path: Path, line: str) -> None:
    text = line if line.startswith("models") else MODELS + line
    said = told(tmp_path / "serve.yaml", text)
    assert KEY not in said
    assert "1234567890" not in said


@pytest.mark.parametrize("override", OVERRIDES)
def test_of_a_server_by_override(tmp_path: Path, override: str) -> None:
    assert KEY not in told(tmp_path / "serve.yaml", MODELS, override)


def test_the_mistake_itself_is_still_told(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    assert "keys: input should be a valid tuple (got (hidden))" in told(file, f"{MODELS}keys: x")
    assert "tag there (line 2, column 7)" in told(file, f"{MODELS}keys: !x y")
    assert "expected ',' or ']', but got '<stream end>'" in told(file, "a: [b")
    assert "port: input should be less than" in told(file, f"{MODELS}port: 99999")
    assert "(got 99999)" in told(file, f"{MODELS}port: 99999")


@pytest.mark.parametrize(
    "line",
    [
        f"api_key: {KEY}",
        f"task: {{kind: rerank, reward: {{url: 'http://me:{KEY}@host'}}}}",
        f"task: {{kind: rerank, reward: {{url: 'http://me:{KEY}@host', method: full}}}}",
        f"task: {{kind: rerank, reward: {{url: 'http://host', api_key: {KEY}}}}}",
        f"task: {{kind: rerank, reward: {{url: 'http://host?key={KEY}'}}}}",
        f"model: {{path: tiny-ranker, hf_token: {KEY}}}",
        f"reward: {{keys: {KEY}}}",
    ],
)
def test_of_a_run(tmp_path: Path, line: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(line)
    with pytest.raises(UserError) as error:
        load(file)
    assert KEY not in str(error.value)


def test_of_an_endpoint_on_the_command_line() -> None:
    with pytest.raises(DataError, match="OPENAI_API_KEY") as error:
        located("m", "openai", {"base_url": f"http://me:{KEY}@host/v1"}, None)
    assert KEY not in str(error.value)
