"""The learner's process: leases groups, takes an optimizer step, publishes the new policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.errors import boundary
from rlpost.diagnostics.staleness import staleness_metrics
from rlpost.errors import TrainingError
from rlpost.loop import advantages_of
from rlpost.protocols import BatchLearner, BothWays, Learner
from rlpost.streaming.messages import BufferStats, Counts, Dropped, Lease, deserialize
from rlpost.types import PolicyRef, Stretch
from workers.train.queue import QueueClient
from workers.train.shared_folder import SharedFolder
from workers.train.spec import CanarySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    policy: PolicyRef
    canary_T: tuple[float, ...]
    """The learner's log-probabilities of the canary under these weights, in a batch as it trains;
    empty without one."""
    alone_T: tuple[float, ...] = ()
    """The same of the sequence alone, by the plain model; empty where there are no batches."""
    why_not_packed: str = ""
    """What makes the learner slower than it could be; empty where nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One finished optimizer step; its lease is still to be acknowledged."""

    lease: Lease
    metrics: Mapping[str, float]
    advantages_P_G: Sequence[Sequence[Sequence[Stretch]]]
    """Of the lease's groups, as trained on; empty when the learner does not tell."""
    published: Published
    timestamps: tuple[float, float, float]
    """Unix times: the step began, publishing began, done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerAnswer:
    """What came of the request for a step."""

    step: StepReport | None
    """None: there were not enough fresh groups."""
    dropped: tuple[Dropped, ...]
    quarantined: tuple[Dropped, ...]


class LearnerWorker:
    """Owns the weights. Does one thing at a time."""

    def __init__(
        self, *, learner: Callable[[], Learner], shared: SharedFolder, canary: CanarySpec | None
    ) -> None:
        self._build = learner
        self._shared, self._canary = shared, canary

    def start(self, restore_from: Path | None) -> Published:
        """Build the learner, or go on from a checkpoint, and publish the policy to begin with."""
        self._shared.check()
        with boundary(TrainingError, "building the learner"):
            self._learner = self._build()
        if restore_from is not None:
            with boundary(TrainingError, f"restoring the learner from {restore_from}"):
                self._learner.restore(restore_from)
        return self._publish()

    def save(self, path: Path) -> None:
        with boundary(TrainingError, f"saving the learner to {path}"):
            self._learner.save(path)

    def step(self, queue: QueueClient, num_groups: int, ttl: float) -> LearnerAnswer:
        """One optimizer step on the next ``num_groups`` groups of the queue, and its publication.

        The lease is left open: the driver acknowledges it once it has this report.
        """
        answer = queue.lease(num_groups, version=self._learner.version, ttl=ttl)
        return LearnerAnswer(
            step=None if answer.lease is None else self._train(answer.lease, answer.stats),
            dropped=answer.dropped,
            quarantined=answer.quarantined,
        )

    def _publish(self) -> Published:
        version = self._learner.version
        with boundary(TrainingError, f"publishing policy {version}"):
            policy = self._learner.publish(self._shared.path)
            scores = self._scores()
        return Published(
            policy=policy,
            canary_T=scores.batch_T,
            alone_T=scores.alone_T,
            why_not_packed=(
                self._learner.why_not_packed if isinstance(self._learner, BatchLearner) else ""
            ),
        )

    def _scores(self) -> BothWays:
        """What the learner says to the canary; nothing without one."""
        if self._canary is None:
            return BothWays((), ())
        sequence = self._canary.prompt_ids, self._canary.completion_ids
        if isinstance(self._learner, BatchLearner):
            return self._learner.score_both_ways(*sequence)
        return BothWays(tuple(self._learner.score(*sequence)), ())

    def _train(self, lease: Lease, stats: BufferStats) -> StepReport:
        version = self._learner.version
        start = time.time()
        groups = [deserialize(parcel) for parcel in lease.parcels]
        with boundary(TrainingError, f"step {version + 1}"):
            metrics = self._learner.step(groups)
        stepped = time.time()
        return StepReport(
            lease=lease,
            metrics={
                **metrics,
                **staleness_metrics(groups, version),
                **_queue(lease, stats.counts),
            },
            advantages_P_G=advantages_of(self._learner),
            published=self._publish(),
            timestamps=(start, stepped, time.time()),
        )


def _queue(lease: Lease, counts: Counts) -> dict[str, float]:
    return {
        "queue/wait_s": lease.waited_s,
        "queue/stale_total": float(counts.stale),
        "queue/redelivered_total": float(counts.redelivered),
        "queue/stale_tokens_mean": counts.tokens_stale / max(1, counts.stale),
        "queue/trained_tokens_mean": counts.tokens_trained / max(1, counts.trained),
    }
