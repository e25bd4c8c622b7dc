"""The driver: ``rlpost.loop`` with its steps moved into other processes.

    rollout-i  takes: tickets          gives: groups -> queue    waits for: the policy, tickets
    learner    takes: n fresh groups   gives: policy v + 1       waits for: n groups in the queue
    driver     takes: reports          gives: tickets, policies  waits for: any report

The ledger decides what may start (so ``max_lag: 0`` is the synchronous loop and 1 overlaps), the
queue refuses what is too old, the fleet keeps workers alive and on the published policy. What the
driver knows is in the ledger and in checkpoints: any process may die, and nothing is lost or
trained twice. A dead rollout worker, reward worker or queue is replaced; a dead learner stops the
run, which goes on from the last checkpoint with ``resume``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from rlpost.checkpoint import Checkpoint, save_checkpoint
from rlpost.errors import TrainingError
from rlpost.interrupt import StopRequest, stop_on_signal
from rlpost.loop import StepRecord
from rlpost.rollout.dynamic_sampling import sampling_metrics
from rlpost.streaming.messages import deserialize
from rlpost.types import Completion, Prompt, Sampling
from workers.train import weights
from workers.train.calls import ActorLostError, Finished, PendingCalls, ask
from workers.train.cluster import ActorOptions, cluster
from workers.train.dispatch import PromptDispatcher
from workers.train.learner import LearnerWorker, Published, StepReport
from workers.train.nodes import Nodes
from workers.train.queue import QueueClient, QueueDiedError
from workers.train.reward import start_pool
from workers.train.rollout import WorkReport
from workers.train.rollout_pool import JobResult, RolloutPool, WorkerJob
from workers.train.shared_folder import SharedFolder
from workers.train.spec import Observers, RunSpec

LEARNER, LEARNER_FOLDER = "learner", "learner"
POLICIES_KEPT = 3
"""Published folders kept beyond ``max_lag``: an engine may read one lazily."""


@contextmanager
def open_run(
    spec: RunSpec,
    observers: Observers,
    *,
    address: str | None = None,
    resume: Checkpoint | None = None,
) -> Iterator[Driver]:
    """All actors of a run, started, on the same policy; they end with the block.

    Ctrl-C or SIGTERM inside ``Driver.train`` finishes the optimizer step under way, writes a
    checkpoint and raises KeyboardInterrupt.
    """
    with stop_on_signal() as stop, cluster(spec, address=address) as options:
        driver = Driver(spec, observers, stop=stop, resume=resume, options=options)
        try:
            driver.start()
            yield driver
        finally:
            driver.close()
        stop.raise_if_requested()


class Driver:
    """Use ``open_run``. One thread; every wait has an end."""

    def __init__(
        self,
        spec: RunSpec,
        observers: Observers,
        *,
        stop: StopRequest,
        resume: Checkpoint | None,
        options: ActorOptions,
    ) -> None:
        self._spec, self._observers, self._stop, self._resume = spec, observers, stop, resume
        self._calls = PendingCalls()
        self._shared = SharedFolder.marked(spec.plan.policies)
        self._learner = _spawn_learner(spec, self._shared, options)
        self._scorer = start_pool(spec, options) if spec.resources.reward_workers else None
        self._fleet = RolloutPool(
            spec,
            calls=self._calls,
            observers=observers,
            scorer=self._scorer,
            shared=self._shared,
            options=options,
        )
        self._nodes = Nodes(wait_s=spec.streaming.node_wait_s)
        self._stream = PromptDispatcher(spec, observers, nodes=self._nodes, resume=resume)
        self._learned = 0
        self._sampled = -1
        self._step_ended = time.time()

    @property
    def queue(self) -> QueueClient:
        """The queue of this run, to look at; a new one after a death."""
        return self._stream.queue

    def start(self) -> None:
        """Start learner and workers side by side, and wait until every engine holds the policy."""
        policies = self._spec.plan.policies
        weights.clear(policies)
        restore_from = None if self._resume is None else self._resume.path / LEARNER_FOLDER
        self._ask_learner("start", restore_from, limit_s=self._spec.streaming.start_s)
        while self._calls.is_busy(LEARNER) or not self._fleet.is_ready:
            self._stop.raise_if_requested()
            self._turn()

    def train(self) -> None:
        """Optimizer steps up to ``plan.steps``, each reported to ``observers.step``."""
        self._step_ended = time.time()
        while min(self._learned, self._sampled) < self._spec.plan.steps:
            if not self._stop.requested:
                self._begin()
            elif not self._calls.is_busy(LEARNER):
                self._checkpoint()
                self._observers.events("run_interrupted", step=self._learned)
                raise KeyboardInterrupt
            for result in self._turn():
                self._job_done(result)

    def evaluate(
        self,
        prompts_P: Sequence[Prompt],
        *,
        seeds_P_G: Sequence[Sequence[int]],
        sampling: Sampling,
        prompts_per_call: int,
    ) -> list[list[Completion]]:
        """As ``Engine.generate``, spread over the workers; before or after training."""
        starts = range(0, len(prompts_P), prompts_per_call)
        for first in starts:
            rows = slice(first, first + prompts_per_call)
            args = (prompts_P[rows], seeds_P_G[rows], sampling)
            doing = f"evaluating from prompt {first}"
            self._fleet.submit(WorkerJob(method="generate", args=args, doing=doing, position=first))
        done: dict[int, list[list[Completion]]] = {}
        while len(done) < len(starts):
            self._stop.raise_if_requested()
            for result in self._turn():
                if result.job.method != "generate":  # a rollout that training left over
                    self._job_done(result)
                elif result.error is None:
                    done[result.job.position] = result.value
                    self._observers.trace("evaluate", result.worker, result.began, time.time())
                else:
                    self._fleet.submit(result.job)
        return [row for first in starts for row in done[first]]

    def close(self) -> None:
        """End this run's actors and no others."""
        self._fleet.stop()
        scorers = self._scorer.actors if self._scorer else ()
        for actor in (self._learner, self._stream.queue.actor, *scorers):
            ray.kill(actor)
        self._shared.unmark()

    def _begin(self) -> None:
        """Start all that may start: rollouts the ledger admits, a step whose groups are there."""
        for job in self._fleet.cancel(self._stream.is_outdated):
            self._stream.withdraw(job)
        for job in self._stream.admit(self._sampled):
            self._fleet.submit(job)
        unlearned = self._learned < self._spec.plan.steps
        if unlearned and self._stream.has_step and not self._calls.is_busy(LEARNER):
            streaming, num_groups = self._spec.streaming, self._spec.plan.groups_per_step
            args = (self._stream.queue, num_groups, streaming.lease_ttl_s)
            self._ask_learner("step", *args, limit_s=streaming.stall_s)

    def _ask_learner(self, method: str, *args: Any, limit_s: float) -> None:
        ref = getattr(self._learner, method).remote(*args)
        doing = f"{method} after step {self._learned}"
        self._calls.add(ref, actor=LEARNER, doing=doing, job=args[0], limit_s=limit_s)

    def _turn(self) -> list[JobResult]:
        """Hand out work, wait for answers, take in those that are not jobs of the caller."""
        self._fleet.dispatch()
        self._watch()
        results = []
        for finished in self._calls.wait():
            if finished.call.actor == LEARNER:
                self._learner_answered(finished)
            elif (result := self._fleet.handle(finished)) is not None:
                results.append(result)
        self._follow_version()
        return results

    def _follow_version(self) -> None:
        version = self._fleet.version
        if version > self._sampled:
            self._sampled = version
            self._observers.events("policy_published", version=version)
            keep = self._spec.streaming.max_lag + POLICIES_KEPT
            weights.prune(self._spec.plan.policies, newest=version, keep=keep)

    def _watch(self) -> None:
        """Stop when nothing is under way, or nothing moved for longer than anything may take."""
        if not self._fleet.is_whole:
            self._nodes.watch()
        silent, patience = self._calls.silent_s, self._calls.patience_s
        if patience == 0.0 or silent > max(patience, self._spec.streaming.stall_s):
            doing = self._calls.describe()
            self._observers.events("stalled", seconds=silent, doing=doing)
            raise TrainingError(f"nothing moved for {silent:.0f} s ({doing})")

    def _learner_answered(self, finished: Finished) -> None:
        if isinstance(finished.error, ActorLostError):
            raise TrainingError(
                f"the learner was lost at step {self._learned + 1} ({finished.error}); "
                "the run can go on from its last checkpoint with --resume"
            )
        if isinstance(finished.error, QueueDiedError):
            self._stream.revive(finished.call.job)
        elif finished.error is not None:
            raise finished.error
        elif isinstance(finished.value, Published):
            self._learned = finished.value.policy.version
            if why := finished.value.why_not_packed:
                self._observers.events("learner_not_packed", why=why)
            self._fleet.set_target_policy(finished.value)
        else:
            filtered = self._stream.filtered_rewards
            self._stream.learned(finished.value, finished.call.job)
            if finished.value.step is not None:
                self._step_done(finished.value.step, filtered)

    def _step_done(self, report: StepReport, filtered: Sequence[float | None]) -> None:
        self._learned = report.published.policy.version
        self._fleet.set_target_policy(report.published)
        began, publishing, ended = report.timestamps
        self._observers.trace("step", LEARNER, began, publishing)
        self._observers.trace("publish", LEARNER, publishing, ended)
        groups = tuple(deserialize(parcel) for parcel in report.lease.parcels)
        seconds = ended - self._step_ended
        self._step_ended = ended
        metrics = {
            **report.metrics,
            "time/step_s": seconds,
            "perf/samples_per_s": sum(len(group.rollouts) for group in groups) / seconds,
        }
        if self._spec.plan.dynamic_sampling is not None:
            metrics |= sampling_metrics(groups, filtered)
        self._observers.step(
            StepRecord(
                step=self._learned,
                groups=groups,
                metrics=metrics,
                advantages_P_G=report.advantages_P_G,
            )
        )
        if self._learned % self._spec.checkpoints.every == 0 or self._is_last:
            self._checkpoint()

    @property
    def _is_last(self) -> bool:
        return self._learned == self._spec.plan.steps

    def _job_done(self, result: JobResult) -> None:
        if isinstance(result.value, WorkReport):
            names = ("sample", "score", "put")
            timestamps = result.value.timestamps
            for name, start, end in zip(names, timestamps, timestamps[1:], strict=False):
                self._observers.trace(name, result.worker, start, end)
        self._stream.job_done(result)

    def _checkpoint(self) -> None:
        """The trained frontier. The learner is idle; rollouts go on meanwhile."""
        plan = self._spec.checkpoints

        def write(folder: Path) -> None:
            (folder / LEARNER_FOLDER).mkdir()
            saving = self._learner.save.remote(folder / LEARNER_FOLDER)
            ask(saving, limit_s=self._spec.streaming.stall_s, doing="saving the learner")
            self._stream.save(folder)

        state = {
            "version": self._learned,
            "ledger": self._stream.state(),
            "identity": dict(self._spec.identity),
        }
        save_checkpoint(plan.run_dir, self._learned, write, state, keep=plan.keep)
        self._observers.events("checkpoint_saved", step=self._learned)


def _spawn_learner(spec: RunSpec, shared: SharedFolder, options: ActorOptions) -> Any:
    remote = ray.remote(LearnerWorker).options(
        num_cpus=spec.resources.threads,
        num_gpus=spec.resources.learner_gpus,
        **options,
    )
    return remote.remote(learner=spec.learner, shared=shared, canary=spec.canary)
