"""The run directory: one folder per run, whose layout people and tools rely on.

config.yaml            resolved configuration
identity.json          what it is made from (rlpost.identity)
metrics.jsonl          one object per step: step, version, time (Unix seconds), flat metric names
events.jsonl           what else happened (rlpost.tracking.events)
rollouts/step-*.jsonl  one object per group: prompt, completions, rewards, advantages as they were
                       trained on (0: no token of it was), versions
checkpoints/step-*/    the trained frontier (rlpost.checkpoint)
policies/policy-v*/    published adapters
eval/                  TREC runs before and after
trace.json             who was busy when (rlpost.tracking.trace)
summary.json           the outcome (rlpost.tracking.summary)
report.html            all of it, for people (rlpost.report)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import IO, Any

from rankers.errors import UserError
from rankers.files import jsonl
from rankers.files.atomic import disk_trouble, write_text
from rlpost.checkpoint import drop_after
from rlpost.credit.assign import mean_advantage
from rlpost.tracking.claim import Claim, claim_of, locked
from rlpost.tracking.events import EventLog
from rlpost.tracking.metrics import metric
from rlpost.tracking.summary import SUMMARY, Summary, write_summary
from rlpost.tracking.trace import TraceLog
from rlpost.types import Group, Rollout, Stretch

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
ROLLOUTS = "rollouts"
TRACE = "trace.json"
STEP: jsonl.Needs = {"step": int, "time": (int, float)}
EVENT: jsonl.Needs = {"kind": str, "time": (int, float)}
Credited = float | Sequence[Stretch]
"""The advantage of a completion: the mean over its tokens, or token by token."""


class RunDir:
    """The writing side of a run directory; one process at a time holds it."""

    def __init__(self, path: Path, lock: IO[str], damaged: Mapping[str, int] | None = None) -> None:
        self.path = path
        self.events = EventLog(path / EVENTS)
        self.trace = TraceLog(path / TRACE)
        self._lock = lock
        self.damaged = only_damaged({**(damaged or {}), TRACE: self.trace.damaged})
        """File -> lines of it that were damaged and are left out."""

    @classmethod
    def create(cls, path: Path, config: str, claim: Claim | None = None) -> RunDir:
        """A new run in ``path``, which must be empty or absent, or be ``claim``'s; ``config`` is
        the resolved YAML.

        UserError: a run is there already, the disk is full or the folder cannot be written.
        """
        claim = claim or claim_of(path)
        if claim is None:
            raise UserError(
                f"run directory {str(path)!r} is not empty: continue it with --resume {path}, "
                "choose another name=..., or remove it"
            )
        with disk_trouble(path):
            (path / ROLLOUTS).mkdir()
        write_text(path / CONFIG, config)
        return cls(path, claim.lock)

    @classmethod
    def resume(
        cls, path: Path, step: int, config: str | None = None, claim: Claim | None = None
    ) -> RunDir:
        """The run in ``path``, taken back to the end of ``step`` so that no step appears twice.

        ``config``: the resolved YAML that it goes on with, by default what it has.

        UserError: no run is there, or another process is writing it.
        """
        check_run(path)
        claim = claim or held(path)
        if config is not None and config != (path / CONFIG).read_text(encoding="utf-8"):
            write_text(path / CONFIG, config)
        damaged = {
            METRICS: jsonl.keep(path / METRICS, lambda record: record["step"] <= step, STEP),
            EVENTS: jsonl.keep(path / EVENTS, lambda _: True, EVENT),
        }
        for rollouts in (path / ROLLOUTS).glob("step-*.jsonl"):
            if int(rollouts.stem.removeprefix("step-")) > step:
                rollouts.unlink()
        (path / SUMMARY).unlink(missing_ok=True)
        drop_after(path, step)
        return cls(path, claim.lock, damaged)

    def log_step(self, step: int, version: int, metrics: Mapping[str, float]) -> None:
        """Append one step to ``metrics.jsonl``. KeyError for a name not in the glossary."""
        for name in metrics:
            metric(name)
        record = {"step": step, "version": version, "time": time.time(), **metrics}
        jsonl.append(self.path / METRICS, record)

    def log_rollouts(
        self, step: int, groups: Sequence[Group], advantages_P_G: Sequence[Sequence[Credited]] = ()
    ) -> None:
        """Write the groups of one step, with the credit of each completion where it is given.

        Where tokens differ, ``token_advantages`` has pairs of a number of tokens and an advantage.
        """
        unknown: list[Sequence[Credited | None]] = [[None] * len(g.rollouts) for g in groups]
        rows = advantages_P_G or unknown
        lines = [
            jsonl.dumps(_group_record(step, group, advantages_G)) + "\n"
            for group, advantages_G in zip(groups, rows, strict=True)
        ]
        write_text(self.path / ROLLOUTS / f"step-{step:06d}.jsonl", "".join(lines))

    def write_summary(self, summary: Summary) -> Path:
        """``summary.json``, atomically."""
        return write_summary(self.path, summary)

    def close(self) -> None:
        """Let another process resume the run; the folder stays as it is."""
        self._lock.close()


def only_damaged(lines: Mapping[str, int]) -> dict[str, int]:
    """File -> damaged lines, for files that have any."""
    return {name: count for name, count in lines.items() if count}


def check_run(path: Path) -> None:
    """UserError unless ``path`` holds a run."""
    if not (path / CONFIG).is_file():
        raise UserError(
            f"{str(path)!r} is not a run directory (it has no {CONFIG}): "
            "give the folder that `rlpost train` printed"
        )


def held(path: Path) -> Claim:
    """The run in ``path``, for this process alone. UserError while another one writes it."""
    with disk_trouble(path):
        lock = locked(path)
    if lock is None:
        raise UserError(
            f"run directory {str(path)!r} is being written by another process: "
            "wait for it to end, or stop it"
        )
    return Claim(path, lock, made=[])


def _group_record(
    step: int, group: Group, advantages_G: Sequence[Credited | None]
) -> dict[str, Any]:
    prompt = group.ticket.prompt
    return {
        "step": step,
        "index": group.ticket.index,
        "epoch": group.key.epoch,
        "prompt_id": prompt.id,
        "attempt": group.key.attempt,
        "prompt": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "payload": _plain(prompt.payload),
        "completions": [
            _rollout_record(rollout, advantage)
            for rollout, advantage in zip(group.rollouts, advantages_G, strict=True)
        ],
    }


def _plain(payload: object) -> object:
    """A task's payload is plain data or a dataclass of it."""
    if is_dataclass(payload) and not isinstance(payload, type):
        return asdict(payload)
    return payload


def _rollout_record(rollout: Rollout, credited: Credited | None) -> dict[str, Any]:
    completion = rollout.completion
    by_token: dict[str, Any] = {}
    if isinstance(credited, Sequence):
        if len(credited) > 1:
            by_token["token_advantages"] = [list(stretch) for stretch in credited]
        credited = mean_advantage(credited)
    return {
        "text": completion.text,
        "finish": completion.finish,
        "num_tokens": len(completion.token_ids),
        "logprob": sum(completion.logprobs_T),
        "versions": sorted(set(completion.versions_T)),
        "reward": rollout.score.total,
        "parts": dict(rollout.score.parts),
        "advantage": credited,
        **by_token,
    }
