"""The rollout workers as one: keeps them alive, on the published policy, and busy with jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from rlpost.errors import AdapterError, EngineError, TrainingError
from workers.train.calls import ActorLostError, Finished, PendingCalls
from workers.train.cluster import ActorOptions
from workers.train.learner import Published
from workers.train.queue import QueueDiedError
from workers.train.reward import RewardScorer
from workers.train.rollout import LoadReport, RolloutWorker
from workers.train.shared_folder import SharedFolder
from workers.train.spec import Observers, RunSpec
from workers.train.weights import Canary


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """One call of a method of a rollout worker; any worker will do."""

    method: str
    args: tuple[Any, ...]
    doing: str
    position: int = 0
    """For the caller, to tell its jobs apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """A job that is done, or was lost with its worker or the queue (``error``)."""

    job: WorkerJob
    worker: str
    began: float
    """Unix time."""
    value: Any = None
    error: Exception | None = None


@dataclass(slots=True, kw_only=True)
class _Worker:
    name: str
    actor: Any
    version: int | None = None
    started: bool = False


class RolloutPool:
    """Every worker is brought to the aimed-at policy before it gets its next job.

    A worker that dies, hangs or reports a broken engine is replaced, up to ``max_restarts`` in all;
    its job comes back with the error. Whatever else goes wrong is raised.
    """

    def __init__(
        self,
        spec: RunSpec,
        *,
        calls: PendingCalls,
        observers: Observers,
        scorer: RewardScorer | None,
        shared: SharedFolder,
        options: ActorOptions,
    ) -> None:
        self._spec, self._calls, self._observers = spec, calls, observers
        self._scorer, self._shared, self._options = scorer, shared, options
        self._jobs: deque[WorkerJob] = deque()
        self._aim: Published | None = None
        self._canary = Canary(spec.canary, emit=observers.events)
        self._restarts = 0
        self._ever_started = False
        self._workers = {
            name: _Worker(name=name, actor=self._spawn())
            for name in (f"rollout-{i}" for i in range(spec.resources.rollout_workers))
        }

    @property
    def version(self) -> int:
        """The oldest policy held by any worker; -1 while none holds one.

        A worker that is being replaced does not count: it comes back with the newest policy.
        """
        versions = [worker.version for worker in self._workers.values()]
        return min((v for v in versions if v is not None), default=-1)

    @property
    def is_ready(self) -> bool:
        """Whether every worker has started and holds a policy."""
        return all(worker.version is not None for worker in self._workers.values())

    @property
    def is_whole(self) -> bool:
        """Whether every worker has started; not while a lost one is being replaced."""
        return all(worker.started for worker in self._workers.values())

    def set_target_policy(self, published: Published) -> None:
        """From now on no job begins under an older policy."""
        self._aim = published

    def submit(self, job: WorkerJob) -> None:
        self._jobs.append(job)

    def cancel(self, unwanted: Callable[[WorkerJob], bool]) -> list[WorkerJob]:
        """Take back those jobs that are unwanted and that no worker has begun."""
        cancelled = [job for job in self._jobs if unwanted(job)]
        self._jobs = deque(job for job in self._jobs if not unwanted(job))
        return cancelled

    def dispatch(self) -> None:
        """Give every idle worker what it needs next: a start, the policy, or a job."""
        for worker in self._workers.values():
            if not self._calls.is_busy(worker.name):
                self._next_call(worker)

    def handle(self, finished: Finished) -> JobResult | None:
        """Take note of a worker's answer; gives the job if the call was one."""
        worker = self._workers[finished.call.actor]
        job = finished.call.job
        if isinstance(finished.error, ActorLostError | EngineError) and not isinstance(
            finished.error, AdapterError
        ):
            self._replace(worker, finished.error)
        elif finished.error is not None and not isinstance(finished.error, QueueDiedError):
            raise finished.error
        elif isinstance(finished.value, LoadReport):
            self._loaded(worker, finished.value)
        elif job == "start":
            worker.started = self._ever_started = True
            self._observers.events("worker_started", worker=worker.name)
        if not isinstance(job, WorkerJob):
            return None
        return JobResult(
            job=job,
            worker=worker.name,
            began=finished.call.began,
            value=finished.value,
            error=finished.error,
        )

    def stop(self) -> None:
        for worker in self._workers.values():
            ray.kill(worker.actor)

    def _next_call(self, worker: _Worker) -> None:
        limits = self._spec.streaming
        if self._aim is None:
            return  # The learner may yet refuse the model: no engine starts before it has not.
        if not worker.started:
            self._call(worker, "start", (), "starting", "start", limits.start_s)
        elif worker.version != self._aim.policy.version:
            args = (self._aim.policy, self._spec.canary)
            doing = f"loading policy {self._aim.policy.version}"
            self._call(worker, "load", args, doing, "load", limits.stall_s / 2)
        elif self._jobs:
            job = self._jobs.popleft()
            self._call(worker, job.method, job.args, job.doing, job, limits.stall_s / 2)

    def _call(
        self,
        worker: _Worker,
        method: str,
        args: Sequence[Any],
        doing: str,
        job: Any,
        limit_s: float,
    ) -> None:
        ref = getattr(worker.actor, method).remote(*args)
        self._calls.add(ref, actor=worker.name, doing=doing, job=job, limit_s=limit_s)

    def _loaded(self, worker: _Worker, report: LoadReport) -> None:
        assert self._aim is not None
        self._observers.trace("load", worker.name, *report.timestamps)
        worker.version = report.version
        if report.version == self._aim.policy.version:
            self._canary.check(worker.name, self._aim, report.canary_T)

    def _replace(self, worker: _Worker, error: Exception) -> None:
        if not self._ever_started:
            raise EngineError(f"the rollout engine did not start: {error}")
        self._restarts += 1
        self._observers.events("worker_died", worker=worker.name, why=str(error))
        if self._restarts > self._spec.streaming.max_restarts:
            raise TrainingError(
                f"rollout workers died {self._restarts} times, the last one because: {error}"
            )
        ray.kill(worker.actor)
        self._canary.forget(worker.name)
        worker.actor, worker.version, worker.started = self._spawn(), None, False

    def _spawn(self) -> Any:
        spec, resources = self._spec, self._spec.resources
        remote = ray.remote(RolloutWorker).options(
            num_cpus=resources.threads,
            num_gpus=resources.rollout_gpus,
            **self._options,
        )
        return remote.remote(
            engine=spec.engine,
            reward=spec.reward,
            scorer=self._scorer,
            plan=spec.plan,
            shared=self._shared,
        )
