"""The page on serving: its Python examples run, where their libraries are installed."""

import importlib.util
import re
from collections.abc import Iterator

import pytest

from tests.paths import REPO
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.sockets import serving

PAGE = (REPO / "rlpost" / "docs" / "serving.md").read_text("utf-8")
ADDRESS = "localhost:8000"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(WordService(), settings(port=0, keys=["KEY"])) as port:
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0])
def test_example(example: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in re.findall(r"^(?:import|from) (\w+)", example, flags=re.MULTILINE):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    assert ADDRESS in example
    exec(compile(example.replace(ADDRESS, address), "serving.md", "exec"), {})
    said = capsys.readouterr().out
    best = said.startswith("1 ") or "Return the largest item." in said
    assert best or said == "2 4\n", said


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 9
