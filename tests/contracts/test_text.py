"""What the repository says: no machine's paths in it, and every command of its pages exists."""

import re
import shutil
import subprocess

import pytest

from tests.paths import REPO

README = (REPO / "README.md").read_text("utf-8")
SERVING = (REPO / "rlpost" / "docs" / "serving.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README + SERVING, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.strip().lstrip("$ ")
    for language, block in BLOCKS
    if language in ("", "bash", "sh", "console")
    for line in block.splitlines()
]
MACHINE = re.compile(
    rb"(?<![\w.~}-])/(home/\w|Users/\w|root/|work/|workspace/|opt/)|pythonhosted|pypi\.org"
)


def tracked() -> list[str]:
    if shutil.which("git") is None or not (REPO / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPO, text=True)
    return [name for name in listing.split("\0") if name and (REPO / name).is_file()]


def test_no_tracked_file_names_a_machine() -> None:
    hits = {
        f"{name}: {match.group().decode()}"
        for name in tracked()
        if name != "tests/contracts/test_text.py"
        if (match := MACHINE.search((REPO / name).read_bytes()))
    }
    assert not hits


def test_the_readme_shows_commands() -> None:
    assert any(command.startswith("scripts/quickstart") for command in COMMANDS)
    assert any(command.startswith("scripts/test") for command in COMMANDS)


def test_scripts_and_configs_the_pages_name_exist() -> None:
    named = set(re.findall(r"(?<![\w/.-])((?:scripts|configs)/[\w./-]*[\w-])", README + SERVING))
    assert named
    assert not {name for name in named if not (REPO / name).exists()}


def test_cli_commands_the_pages_name_exist() -> None:
    from typer.main import get_command

    from rlpost.cli.main import app

    group = get_command(app)
    known = set(group.commands)  # type: ignore[attr-defined]
    calls = re.findall(r"\brlpost ([a-z][a-z-]*)", "\n".join(COMMANDS))
    assert calls
    assert set(calls) <= known


def test_options_of_serve_the_pages_name_exist() -> None:
    from typer.main import get_command

    from rlpost.cli.main import app

    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {name for option in serve.params for name in option.opts}
    calls = [command for command in COMMANDS if command.startswith("rlpost serve ")]
    named = {name for call in calls for name in re.findall(r"--[\w-]+", call)}
    assert {"--replicas", "--follow"} <= named <= known
