"""`rlpost train`: prepare, warm start, measure, train, measure again, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.types import Run
from rlpost import jsonl
from rlpost.check import to_yaml
from rlpost.checkpoint import Checkpoint, latest_checkpoint
from rlpost.config import RunConfig, load
from rlpost.display import Display, open_display
from rlpost.errors import TrainingError, UserError
from rlpost.evaluation import (
    PROMPTS_PER_CALL,
    Comparison,
    compared,
    greedy,
    measure,
    run_of,
    save_run,
    saved_run,
)
from rlpost.loop import StepRecord
from rlpost.memory import PeakMemory
from rlpost.monotony import warnings_of
from rlpost.no_signal import PATIENCE, why_no_signal
from rlpost.prepare import prepare
from rlpost.report import write_report
from rlpost.rundir import CONFIG, METRICS, RunDir, check_run, told, unused
from rlpost.stopwatch import Stopwatch
from rlpost.summary import Summary, verdict
from rlpost.tasks.task import HeldOut
from rlpost.types import Completion, Prompt
from rlpost.warm import warmed_model
from workers.compose import run_spec
from workers.driver import Driver, open_run
from workers.spec import Observers, RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A run that is under way, as its stages see it."""

    cfg: RunConfig
    run_dir: RunDir
    resume: Checkpoint | None
    display: Display

    def phase(self, text: str) -> None:
        """Say and record what is going on."""
        self.display.phase(text)
        self.run_dir.events("phase", doing=text)

    def event(self, kind: str, **fields: object) -> None:
        """Record what happened, and say it where a person should know at once."""
        if kind == "learner_not_packed":
            self.display.note(str(fields["why"]))
        self.run_dir.events(kind, **fields)


def launch(
    *, config: Path | None, overrides: Sequence[str], resume: Path | None, address: str | None
) -> Path:
    """Run ``config`` (or go on with the run in ``resume``) to its end; returns the run directory.

    Raises UserError or DataError on bad input before any model is loaded, KeyboardInterrupt after
    the checkpoint when interrupted, and what made the run fail otherwise.
    """
    cfg, checkpoint = read_run_config(config, overrides, resume)
    path = unused(cfg.run_dir) if resume is None else resume
    with PeakMemory() as memory, open_display(cfg.name, cfg.steps) as display:
        clock = Stopwatch()
        prepared = prepare(cfg, say=display.phase)
        run_dir = open_run_dir(cfg, path, checkpoint, is_new=resume is None)
        if run_dir.damaged:
            display.note(told(run_dir.damaged))
        run = Launch(cfg=cfg, run_dir=run_dir, resume=checkpoint, display=display)
        try:
            clock.lap("prepare")
            model_path = warmed_model(cfg, prepared, say=run.phase)
            clock.lap("warm_start")
            spec = run_spec(cfg, prepared=prepared, model_path=model_path, run_dir=path)
            before, after = train(run, spec, prepared.held_out, clock=clock, address=address)
            untaught = why_no_signal(jsonl.read(path / METRICS))
            fails = untaught is not None and cfg.on_no_signal == "fail"
            if not fails:
                run_dir.events("run_finished", step=cfg.steps)
            outcome = _compared(cfg, prepared.held_out, before, after)
            warned = warnings_of(after, prepared.held_out, outcome, cfg.evaluation.measures)
            extra = {"no_signal": untaught, "warnings": warned}
            summary = Summary(
                status="failed" if fails else "finished",
                steps=cfg.steps,
                num_queries=len(prepared.held_out.qrels),
                seconds=clock.laps(),
                peak_rss_mb=memory.peak_mb,
                extra={key: value for key, value in extra.items() if value},
                **{name: getattr(outcome, name) for name in outcome.__slots__},
            )
            run_dir.write_summary(summary)
            display.note(verdict(summary, cfg.evaluation.measures[0]))
            for warning in warned:
                display.note(f"warning: {warning}")
            if untaught is not None:
                warn_of_no_signal(run, untaught)
            if fails:
                raise TrainingError(f"{untaught}; on_no_signal=warn lets such a run pass")
        except Exception as error:
            run_dir.events("run_failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            display.note(f"report: {write_report(path)}")
            run_dir.close()
    return path


def _compared(cfg: RunConfig, held_out: HeldOut, before: Run, after: Run) -> Comparison:
    return compared(
        before=before,
        after=after,
        held_out=held_out,
        measures=cfg.evaluation.measures,
        resamples=cfg.evaluation.bootstrap_samples,
        seed=cfg.seed,
    )


def read_run_config(
    config: Path | None, overrides: Sequence[str], resume: Path | None
) -> tuple[RunConfig, Checkpoint | None]:
    """The config of a new run, or that of the run to resume with its newest checkpoint."""
    if resume is None:
        assert config is not None
        return load(config, overrides), None
    if overrides:
        raise UserError(f"overrides {list(overrides)} with --resume: a run keeps its config")
    check_run(resume)
    return load(resume / CONFIG), latest_checkpoint(resume)


def open_run_dir(
    cfg: RunConfig, path: Path, checkpoint: Checkpoint | None, *, is_new: bool
) -> RunDir:
    """A fresh run directory, or the old one taken back to its checkpoint."""
    if is_new:
        run_dir = RunDir.create(path, to_yaml(cfg))
        run_dir.events("run_started")
        return run_dir
    step = 0 if checkpoint is None else checkpoint.step
    run_dir = RunDir.resume(path, step)
    damaged = {"damaged_lines": run_dir.damaged} if run_dir.damaged else {}
    run_dir.events("run_resumed", step=step, **damaged)
    return run_dir


def train(
    run: Launch, spec: RunSpec, held_out: HeldOut, *, clock: Stopwatch, address: str | None
) -> tuple[Run, Run]:
    """All steps of the run, with the held-out rankings before and after."""
    observers = Observers(step=observer(run), events=run.event, trace=run.run_dir.trace)
    run.phase("starting the engine and the learner")
    with open_run(spec, observers, address=address, resume=run.resume) as driver:
        clock.lap("start")
        before = saved_run(run.run_dir.path, "before")
        if before is None:
            before = measured(run, driver, held_out, "before")
        clock.lap("evaluate_before")
        run.phase("training")
        driver.train()
        clock.lap("rl")
        after = measured(run, driver, held_out, "after")
        clock.lap("evaluate_after")
    return before, after


def measured(run: Launch, driver: Driver, held_out: HeldOut, name: str) -> Run:
    """Rank the held-out queries with the current policy, save the run, say how good it is."""
    run.phase(f"measuring {len(held_out.prompts)} held-out queries {name} RL")

    def answer(prompts: Sequence[Prompt]) -> list[Completion]:
        completions_P_1 = driver.evaluate(
            prompts,
            seeds_P_G=[[0]] * len(prompts),
            sampling=greedy(run.cfg.rollout.max_new_tokens),
            prompts_per_call=PROMPTS_PER_CALL,
        )
        return [completion for (completion,) in completions_P_1]

    ranking = run_of(held_out, answer)
    save_run(run.run_dir.path, name, ranking)
    means = measure(ranking, held_out, run.cfg.evaluation.measures).mean
    run.display.note(f"{name} RL: " + ", ".join(f"{m} {v:.4f}" for m, v in means.items()))
    return ranking


def warn_of_no_signal(run: Launch, sentence: str) -> None:
    """On the display and among the events."""
    run.display.note(f"warning: {sentence}")
    run.run_dir.events("no_signal", why=sentence)


def observer(run: Launch) -> Callable[[StepRecord], None]:
    """Writes each finished step into the run directory and onto the display."""

    def observe(record: StepRecord) -> None:
        run.run_dir.log_step(record.step, record.step, record.metrics)
        run.run_dir.log_rollouts(record.step, record.groups, record.advantages_P_G)
        run.display.step(record.step, record.metrics)
        if record.step == PATIENCE < run.cfg.steps:
            untaught = why_no_signal(jsonl.read(run.run_dir.path / METRICS))
            if untaught is not None:
                warn_of_no_signal(run, untaught)

    return observe
