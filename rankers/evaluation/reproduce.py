"""`rlpost evaluate --reproduce`: the same request again, number against number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankers.errors import UserError
from rankers.evaluation.scoreboard import Request, scoreboard

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """Old numbers beside new ones."""

    numbers: list[tuple[str, float, float]]
    """What it is, value in the file, value now."""
    changed: list[str]
    """Data, runs and versions that are not what they were."""

    @property
    def different(self) -> list[tuple[str, float, float]]:
        """The numbers that are not the same."""
        return [row for row in self.numbers if not abs(row[1] - row[2]) <= TOLERANCE]


def reproduce(before: Mapping[str, Any], path: Path) -> Reproduction:
    """Evaluate again what ``before``, read from the result file ``path``, evaluated."""
    return against(before, scoreboard(request_of(before, path)).as_json())


def against(before: Mapping[str, Any], after: Mapping[str, Any]) -> Reproduction:
    """Compare a result with a new one of the same request."""
    old, new = dict(_numbers(before)), dict(_numbers(after))
    missing = float("nan")
    return Reproduction(
        numbers=[(name, value, new.get(name, missing)) for name, value in old.items()],
        changed=list(_changes(before["provenance"], after["provenance"])),
    )


def read_result(path: Path) -> dict[str, Any]:
    """The object in a result file of ``rlpost evaluate --json``."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): give what --json wrote") from None
    if not isinstance(value, dict) or not {"request", "provenance", "runs"} <= value.keys():
        raise UserError(f"{path} is no result of `rlpost evaluate --json`: nothing to reproduce")
    return value


def request_of(result: Mapping[str, Any], path: Path) -> Request:
    """What a result file was made from."""
    try:
        return Request(**result["request"])
    except TypeError as error:
        raise UserError(f"{path} was written by another version of rlpost ({error})") from None


def report(found: Reproduction) -> str:
    """The outcome in a few lines."""
    lines = [f"changed since: {line}" for line in found.changed]
    for name, old, new in found.different:
        lines.append(f"differs: {name} was {old:.6f}, is {new:.6f}")
    same = len(found.numbers) - len(found.different)
    verdict = "reproduced" if not found.different else "NOT reproduced"
    return "\n".join([*lines, f"{verdict}: {same} of {len(found.numbers)} numbers are the same"])


def _numbers(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for run, means in result["runs"].items():
        yield from ((f"{measure} of {run}", value) for measure, value in means.items())
    for row in result["comparisons"]:
        for key in ("difference", "p_t_test", "p_randomisation"):
            yield f"{key} of {row['run']} in {row['measure']}", row[key]
        low, high = row["ci95"]
        yield f"lower end of the interval of {row['run']} in {row['measure']}", low
        yield f"upper end of the interval of {row['run']} in {row['measure']}", high


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if before["dataset"]["content"] != after["dataset"]["content"]:
        yield f"the content of dataset {before['dataset']['name']}"
    for name, run in before["runs"].items():
        if run["content"] != after["runs"].get(name, {}).get("content"):
            yield f"the content of run {run['file']}"
    for key, what in {"templates": "the prompts, version", "git": "the code, commit"}.items():
        if before.get(key) != (now := after.get(key)):
            yield f"{what} {before.get(key)}, now {now}"
    for name in {**before["versions"], **after["versions"]}:
        version, now = before["versions"].get(name), after["versions"].get(name)
        if version != now:
            yield f"{name} {version}, now {now}"
