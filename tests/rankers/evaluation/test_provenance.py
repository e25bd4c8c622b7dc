"""What a result says about where it comes from."""

from pathlib import Path

import pytest

import rankers
from rankers.evaluation.provenance import prompt_modules, template_version
from tests.paths import REPO

WORDED = (
    "prompting/templates",
    "prompting/model_families",
    "prompting/chat",
    "methods/pointwise",
    "methods/iranker",
    "methods/rank_r1",
)


def test_every_module_that_words_prompts_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name.as_posix() for name, _ in prompt_modules()}
    assert {f"rankers/{name}.py" for name in WORDED} <= names
    assert {
        "rankers/methods/listwise.py",
        "rankers/methods/setwise.py",
        "rlpost/config/prompt_settings.py",
        "rlpost/tasks/ranking/iranker.py",
    } <= names
    version = template_version()
    assert version == template_version()
    read = Path.read_text
    for changed in (
        REPO / "rankers" / "methods" / "iranker.py",
        REPO / "rankers" / "methods" / "e2rank.py",
    ):
        assert Path(rankers.__file__).parent / "methods" / changed.name == changed

        def altered(path: Path, *arguments: str, changed: Path = changed) -> str:
            return read(path, *arguments) + "# reworded" * (path == changed)

        monkeypatch.setattr(Path, "read_text", altered)
        assert template_version() != version
