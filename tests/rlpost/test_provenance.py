"""What a result says about where it comes from."""

from pathlib import Path

import pytest

import rankers
from rlpost.provenance import prompt_modules, template_version
from tests.paths import REPO

WORDED = ("prompts", "choices", "relevance", "families", "elimination", "encoders", "chat")


def test_every_module_that_words_prompts_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name.as_posix() for name, _ in prompt_modules()}
    assert {f"rankers/{name}.py" for name in WORDED} <= names
    assert {
        "rankers/methods/listing.py",
        "rankers/methods/choosing.py",
        "rlpost/prompting.py",
        "rlpost/tasks/iranker.py",
    } <= names
    version = template_version()
    assert version == template_version()
    read = Path.read_text
    for changed in (REPO / "rankers" / "elimination.py", REPO / "rankers" / "encoders.py"):
        assert Path(rankers.__file__).parent / changed.name == changed

        def altered(path: Path, *arguments: str, changed: Path = changed) -> str:
            return read(path, *arguments) + "# reworded" * (path == changed)

        monkeypatch.setattr(Path, "read_text", altered)
        assert template_version() != version
