"""The generated pages of ``rlpost/docs``: metrics, configuration keys and presets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rankers.config_file import dotted_keys
from rankers.serve.settings import Settings
from rlpost.config.run import RunConfig
from rlpost.tracking.metrics import FAMILIES, METRICS

DOCS = Path(__file__).parent
GENERATED = "<!-- Written by scripts/docs from {source}; do not edit. -->"


def pages(configs: Path) -> dict[str, str]:
    """File name -> text of every generated page; ``configs`` is the folder of the presets."""
    return {
        "metrics.md": metrics_page(),
        "config.md": config_page(),
        "presets.md": presets_page(configs),
        "serving_keys.md": serving_page(),
    }


def metrics_page() -> str:
    """Every name that ``metrics.jsonl`` may hold."""
    families = ((f"{prefix}*", family) for prefix, family in FAMILIES.items())
    entries = sorted([*METRICS.items(), *families])
    rows = ((f"`{name}`", metric.fold.__name__, metric.meaning) for name, metric in entries)
    return _page(
        "Metrics",
        "rlpost/tracking/metrics.py",
        "One object per step in `metrics.jsonl`. Several reports of one step fold into one number; "
        "a name that is not listed here is an error.",
        _table(("name", "fold", "meaning"), rows),
    )


def config_page() -> str:
    """Every key of a config."""
    merged: dict[str, list[str]] = {}
    for key, meaning in dotted_keys(RunConfig):
        text = " ".join(meaning.split())
        if text not in merged.setdefault(key, []):
            merged[key].append(text)
    rows = ((f"`{key}`", " / ".join(filter(None, texts))) for key, texts in merged.items())
    return _page(
        "Configuration",
        "rlpost/config*.py",
        "Every key of `configs/*.yaml`, also settable on the command line as `key.sub=value` "
        "(of two for one key the last counts). A key given twice in a file is refused; only `true` "
        "and `false` are truth values, `yes` and `010` are text. Where a section "
        "has several kinds, `kind` chooses which of its keys exist.",
        _table(("key", "meaning"), rows),
    )


def serving_page() -> str:
    """Every key of a serving file."""
    rows = ((f"`{key}`", " ".join(meaning.split())) for key, meaning in dotted_keys(Settings))
    return _page(
        "Configuration of a server",
        "rankers/serve/settings.py",
        "Every key of the YAML file that `rlpost serve` takes; `models` is a list.",
        _table(("key", "meaning"), rows),
    )


def presets_page(configs: Path) -> str:
    """What the head of each config says about itself."""
    rows = ((f"`configs/{path.name}`", _head(path)) for path in sorted(configs.glob("*.yaml")))
    return _page(
        "Presets",
        "the first lines of configs/*.yaml",
        "Each is complete: copy one, change what you like. `rlpost train configs/NAME.yaml` runs "
        "it on the small model that comes with the package.",
        _table(("config", "what it is and what it leaves out"), rows),
    )


def write(configs: Path) -> list[Path]:
    """Write all generated pages; returns their paths."""
    written = []
    for name, text in pages(configs).items():
        (DOCS / name).write_text(text, encoding="utf-8")
        written.append(DOCS / name)
    return written


def _head(path: Path) -> str:
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _page(title: str, source: str, intro: str, table: Iterable[str]) -> str:
    return "\n".join([GENERATED.format(source=source), f"# {title}", "", intro, "", *table, ""])


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(header)
    yield _row(("---",) * len(header))
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
