"""`rlpost train`: prepare, warm start, measure, train, measure again, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rankers.files import jsonl
from rankers.files.jsonl import damage_sentence
from rankers.types import Run
from rlpost.checkpoint import latest_checkpoint
from rlpost.config.run import RunConfig
from rlpost.diagnostics.monotony import warnings_of
from rlpost.diagnostics.no_signal import PATIENCE, why_no_signal
from rlpost.errors import TrainingError
from rlpost.loop import StepRecord
from rlpost.report import write_report
from rlpost.tasks.base import HeldOut, PreparedTask
from rlpost.tasks.by_name import prepare
from rlpost.tasks.held_out import (
    PROMPTS_PER_CALL,
    BeforeAfter,
    compared,
    greedy,
    measure_held_out,
    run_of,
    save_run,
    saved_run,
)
from rlpost.tracking.display import Display, open_display
from rlpost.tracking.resources import PeakMemory, Stopwatch
from rlpost.tracking.run_dir import METRICS, RunDir
from rlpost.tracking.summary import Summary, verdict
from rlpost.types import Completion, Prompt
from rlpost.warm_start.run import warmed_model
from workers.train.driver import Driver, open_run
from workers.train.opening import Opening, opened
from workers.train.run_spec import run_spec
from workers.train.spec import Observers, RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A run that is under way, as its stages see it."""

    opening: Opening
    run_dir: RunDir
    display: Display

    @property
    def cfg(self) -> RunConfig:
        return self.opening.cfg

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

    Raises UserError or DataError on bad input before any model is loaded, KeyboardInterrupt, which
    says how to go on, when interrupted, and what made the run fail otherwise.
    """
    with (
        opened(config, overrides, resume) as found,
        PeakMemory() as memory,
        open_display(found.cfg.name, found.cfg.steps) as display,
    ):
        clock = Stopwatch()
        prepared = prepare(found.cfg, say=display.phase)
        with under_way(found.of(prepared), display) as run:
            clock.lap("prepare")
            before, after = trained(run, prepared, clock=clock, address=address)
            conclude(run, prepared.held_out, before, after, clock=clock, memory=memory)
    return found.path


@contextmanager
def under_way(opening: Opening, display: Display) -> Iterator[Launch]:
    """The run, begun; however the block ends, that is recorded and the report written.

    KeyboardInterrupt comes out with the sentence that says how to go on.
    """
    run_dir, path = opening.begin(), opening.path
    display.note(f"run directory: {path}")
    if run_dir.damaged:
        display.note(damage_sentence(run_dir.damaged))
    try:
        yield Launch(opening=opening, run_dir=run_dir, display=display)
    except KeyboardInterrupt:
        saved = latest_checkpoint(path)
        step = 0 if saved is None else saved.step
        run_dir.events("run_interrupted", step=step)
        when = f"after step {step}" if step else "before the first step"
        raise KeyboardInterrupt(
            f"interrupted {when}: go on with `rlpost train --resume {path}`"
        ) from None
    except Exception as error:
        run_dir.events("run_failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        display.note(f"report: {write_report(path)}")
        run_dir.close()


def trained(
    run: Launch, prepared: PreparedTask, *, clock: Stopwatch, address: str | None
) -> tuple[Run, Run]:
    """Warm start, measurement, all steps, measurement; the rankings of both."""
    cfg = run.cfg
    model_path = warmed_model(cfg, prepared, say=run.phase)
    clock.lap("warm_start")
    spec = run_spec(
        cfg,
        prepared=prepared,
        model_path=model_path,
        run_dir=run.run_dir.path,
        identity=run.opening.identity,
    )
    return train(run, spec, prepared.held_out, clock=clock, address=address)


def conclude(
    run: Launch, held_out: HeldOut, before: Run, after: Run, *, clock: Stopwatch, memory: PeakMemory
) -> None:
    """Write the summary and say what it comes to. TrainingError where nothing was ever taught."""
    cfg, run_dir, display = run.cfg, run.run_dir, run.display
    untaught = why_no_signal(jsonl.read(run_dir.path / METRICS))
    fails = untaught is not None and cfg.on_no_signal == "fail"
    if not fails:
        run_dir.events("run_finished", step=cfg.steps)
    outcome = _compared(cfg, held_out, before, after)
    warned = warnings_of(after, held_out, outcome, cfg.evaluation.measures)
    extra = {"no_signal": untaught, "warnings": warned}
    summary = Summary(
        status="failed" if fails else "finished",
        steps=cfg.steps,
        num_queries=len(held_out.qrels),
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


def _compared(cfg: RunConfig, held_out: HeldOut, before: Run, after: Run) -> BeforeAfter:
    return compared(
        before=before,
        after=after,
        held_out=held_out,
        measures=cfg.evaluation.measures,
        resamples=cfg.evaluation.bootstrap_samples,
        seed=cfg.seed,
    )


def train(
    run: Launch, spec: RunSpec, held_out: HeldOut, *, clock: Stopwatch, address: str | None
) -> tuple[Run, Run]:
    """All steps of the run, with the held-out rankings before and after."""
    observers = Observers(step=observer(run), events=run.event, trace=run.run_dir.trace)
    run.phase("starting the engine and the learner")
    with open_run(spec, observers, address=address, resume=run.opening.checkpoint) as driver:
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
    means = measure_held_out(ranking, held_out, run.cfg.evaluation.measures).mean
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
