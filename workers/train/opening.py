"""Opening a run: its config, its folder, which is ours from the start, and its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rankers.errors import UserError
from rlpost.checkpoint import Checkpoint, latest_checkpoint
from rlpost.cli.check import to_yaml
from rlpost.config import load
from rlpost.config.absolute_paths import located
from rlpost.config.run import RunConfig
from rlpost.identity import Identity, identity_of, kept_keys, remember, remembered, require_same
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.input_files import load_present
from rlpost.tracking.claim import Claim, claimed
from rlpost.tracking.run_dir import CONFIG, RunDir, check_run, held


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A run whose folder this process holds, and which is not under way yet."""

    cfg: RunConfig
    claim: Claim
    is_new: bool
    identity: Mapping[str, Any]
    checkpoint: Checkpoint | None = None

    @property
    def path(self) -> Path:
        return self.claim.path

    def of(self, prepared: PreparedTask) -> Opening:
        """The same with its data noted. Raises OtherRunError where the run had other data."""
        known = replace(self, identity={**self.identity, "data": dict(prepared.data)})
        known.compare()
        return known

    def compare(self) -> None:
        """Raises OtherRunError where the run was made from something else; nothing has changed."""
        if self.is_new:
            return
        then = remembered(self.path) or {"config": kept_keys(load(self.path / CONFIG))}
        require_same(then, self.identity, where=self.path)
        if self.checkpoint is not None:
            sealed: Identity = self.checkpoint.state.get("identity", {})
            require_same(sealed, self.identity, where=self.checkpoint.path)

    def begin(self) -> RunDir:
        """A fresh run directory, or the old one taken back to its checkpoint."""
        if self.is_new:
            run_dir = RunDir.create(self.path, to_yaml(self.cfg), self.claim)
            remember(self.path, self.identity)
            run_dir.events("run_started")
            return run_dir
        step = 0 if self.checkpoint is None else self.checkpoint.step
        run_dir = RunDir.resume(self.path, step, to_yaml(self.cfg), self.claim)
        remember(self.path, self.identity)
        damaged = {"damaged_lines": run_dir.damaged} if run_dir.damaged else {}
        run_dir.events("run_resumed", step=step, **damaged)
        return run_dir


@contextmanager
def opened(config: Path | None, overrides: Sequence[str], resume: Path | None) -> Iterator[Opening]:
    """The new run of ``config``, or the one in ``resume``; whatever ends the block before it has
    begun lets go of the folder, which disappears where nothing is in it.

    Raises UserError for mistakes in the config, all at once, and OtherRunError where config or base
    model are not those of the run to resume.
    """
    if resume is None:
        assert config is not None
        cfg = located(load_present(config, overrides))
        claim, checkpoint = claimed(cfg.run_dir), None
    else:
        check_run(resume)
        cfg = located(_resumed(resume, overrides))
        claim = held(resume.absolute())
        checkpoint = latest_checkpoint(claim.path)
    try:
        _refuse_too_few(cfg, checkpoint)
        opening = Opening(
            cfg=cfg,
            claim=claim,
            is_new=resume is None,
            identity=identity_of(cfg),
            checkpoint=checkpoint,
        )
        opening.compare()
        yield opening
    except KeyboardInterrupt as interrupt:
        told = str(interrupt)
        again = "start the command again" if resume is None else f"{resume} is as it was"
        raise KeyboardInterrupt(told or f"interrupted before training began: {again}") from None
    finally:
        claim.abandon()


def _resumed(run_dir: Path, overrides: Sequence[str]) -> RunConfig:
    if any(override.partition("=")[0] == "output" for override in overrides):
        raise UserError("output with --resume: a run stays where it is, so leave output out")
    return load_present(run_dir / CONFIG, overrides)


def _refuse_too_few(cfg: RunConfig, checkpoint: Checkpoint | None) -> None:
    if checkpoint is not None and cfg.steps < checkpoint.step:
        raise UserError(
            f"steps is {cfg.steps}, but the run has trained {checkpoint.step} already: ask for at "
            "least as many"
        )
