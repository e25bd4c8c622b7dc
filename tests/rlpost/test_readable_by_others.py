"""Policies, checkpoints and models that one user writes, another may serve."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer

from rankers.errors import UserError
from rlpost.checkpoint import save_checkpoint
from rlpost.cli.main import main
from rlpost.models.loading import load_base
from rlpost.models.save import save_model
from rlpost.serving.latest_adapter import adapter_in
from rlpost.weights.publish import publish_adapter, write_adapter
from tests.rankers.files.test_modes import mode

FOLDER, FILE = 0o750, 0o640
NOBODY = 65534


@pytest.fixture(autouse=True)
def umask_of_a_group() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture(scope="module")
def adapted(tiny_model: Path) -> PeftModel:
    model = get_peft_model(
        load_base(tiny_model, "float32"), LoraConfig(r=2, target_modules=["q_proj"])
    )
    assert isinstance(model, PeftModel)
    return model


def modes(folder: Path) -> set[int]:
    return {mode(folder), *(mode(path) for path in folder.rglob("*"))}


def test_a_published_policy(adapted: PeftModel, tmp_path: Path) -> None:
    policy = publish_adapter(adapted, tmp_path / "policies", version=1)
    assert modes(policy.path) == {FOLDER, FILE}
    assert publish_adapter(adapted, tmp_path / "policies", version=1) == policy


def test_a_checkpoint(adapted: PeftModel, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, lambda folder: write_adapter(adapted, folder / "a"), {})
    assert modes(path) == {FOLDER, FILE}


def test_an_adapter_and_a_whole_model(adapted: PeftModel, tiny_model: Path, tmp_path: Path) -> None:
    write_adapter(adapted, tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    save_model(load_base(tiny_model, "float32"), tokenizer, tmp_path / "model")
    assert modes(tmp_path / "adapter") == modes(tmp_path / "model") == {FOLDER, FILE}


def test_a_folder_that_may_not_be_read_is_told_in_one_sentence(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    run = tmp_path / "run"
    (run / "policies").mkdir(parents=True)
    (run / "config.yaml").touch()
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):
        parent.chmod(0o755)
    run.chmod(0o700)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(UserError, match=r"may not be read by this user.*chmod -R a\+rX"):
            adapter_in(run)
    finally:
        os.seteuid(0)


def test_an_engine_that_fails_ends_every_command_with_the_same_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import rankers.errors
    import rlpost.errors

    codes = []
    for error in (
        rankers.errors.EngineError("Lucene failed with exit status 134"),
        rlpost.errors.EngineError("the rollout engine did not start"),
        rankers.errors.NoEngineError("vLLM is not installed: install rlpost[cpu]"),
        rankers.errors.UserError("vLLM is not installed: install rlpost[cpu]"),
    ):

        def fails(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("rlpost.cli.main.app", fails)
        with pytest.raises(SystemExit) as ended:
            main()
        codes.append(ended.value.code)
    assert codes == [1, 1, 2, 2]
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("error: EngineError: Lucene")
    assert second.startswith("error: EngineError: the rollout")
