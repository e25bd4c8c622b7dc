"""Tickets out, groups in: ledger and queue of a run, kept in step with what actors report."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlpost.checkpoint import Checkpoint
from rlpost.errors import TrainingError
from rlpost.rollout.collect import chunks, ticket_at
from rlpost.rollout.dynamic_sampling import check_budget
from rlpost.streaming.group_queue import GroupBuffer
from rlpost.streaming.ledger import Ledger
from rlpost.streaming.messages import QueueSnapshot
from rlpost.types import Ticket
from workers.train.learner import LearnerAnswer
from workers.train.nodes import Nodes
from workers.train.queue import QueueClient, QueueDiedError, start_queue
from workers.train.rollout import PromptResult, WorkReport
from workers.train.rollout_pool import JobResult, WorkerJob
from workers.train.spec import Observers, RunSpec

QUEUE_FILE = "queue.pickle"


class PromptDispatcher:
    """The ledger is the truth: a queue that dies is replaced, and what it held is done again."""

    def __init__(
        self, spec: RunSpec, observers: Observers, *, nodes: Nodes, resume: Checkpoint | None
    ) -> None:
        self._spec, self._observers, self._nodes = spec, observers, nodes
        self._ledger = _new_ledger(spec)
        snapshot = None
        if resume is not None:
            snapshot = _read_snapshot(resume.path)
            queued = {parcel.index: parcel.key.attempt for parcel in snapshot.waiting}
            self._ledger.restore(resume.state["ledger"], queued=queued)
        self._num_quarantined = len(self._ledger.quarantined)
        self.queue = self._start_queue(snapshot)

    @property
    def filtered_rewards(self) -> list[float | None]:
        """Rewards of the groups left out since the last step."""
        return list(self._ledger.filtered_since_step.values())

    @property
    def has_step(self) -> bool:
        """Whether the queue holds the groups of a step."""
        return self._ledger.num_queued >= self._spec.plan.groups_per_step

    def admit(self, version: int) -> list[WorkerJob]:
        """The jobs that may start while workers hold policy ``version``: one engine call each."""
        tickets = self._ledger.admit(version)
        return [
            WorkerJob(
                method="work",
                args=(chunk, self.queue),
                doing=f"rolling out prompts {chunk[0].index}..{chunk[-1].index}",
            )
            for chunk in self._cut(tickets)
        ]

    def is_outdated(self, job: WorkerJob) -> bool:
        """Whether the job would put into a queue that is dead."""
        return job.args[1] is not self.queue

    def withdraw(self, job: WorkerJob) -> None:
        """Enter that nobody will do the job; its tickets are issued again."""
        tickets: Sequence[Ticket] = job.args[0]
        for ticket in tickets:
            self._ledger.requeue(ticket.index, ticket.key.attempt)

    def job_done(self, result: JobResult) -> None:
        """Enter what became of a job of ``admit``."""
        tickets: Sequence[Ticket] = result.job.args[0]
        if isinstance(result.error, QueueDiedError):
            self.withdraw(result.job)
            self.revive(result.job.args[1])
        elif result.error is not None:
            for ticket in tickets:
                self._ledger.interrupted(ticket.index, ticket.key.attempt, str(result.error))
        else:
            report: WorkReport = result.value
            for outcome in report.outcomes:
                if outcome.answer != "filtered":
                    self._enter(outcome)
            self._enter_filtered([o for o in report.outcomes if o.answer == "filtered"])
        self._report_quarantined()

    def learned(self, answer: LearnerAnswer, lender: QueueClient) -> None:
        """Enter what the learner found in the queue ``lender`` and trained on; end its lease."""
        for dropped in answer.dropped:
            if self._ledger.stale(dropped.index, dropped.key.attempt):
                self._observers.events(
                    "group_dropped", index=dropped.index, tokens=dropped.num_tokens
                )
        for dropped in answer.quarantined:
            self._ledger.quarantine(dropped.index, "no learner ever finished a step with it")
        if answer.step is not None:
            trained = [parcel.index for parcel in answer.step.lease.parcels]
            self._ledger.trained(trained)
            self._end_lease(answer.step.lease.id, trained, lender)
        self._report_quarantined()

    def _end_lease(self, lease_id: int, trained: Sequence[int], lender: QueueClient) -> None:
        queue = self.queue
        try:
            if lender is queue:
                queue.ack(lease_id)
            else:
                queue.mark_trained(trained)
        except QueueDiedError:
            self.revive(queue)

    def revive(self, dead: QueueClient) -> None:
        """Replace the queue ``dead``, unless that was done; what it held is issued again."""
        if dead is not self.queue:
            return
        lost = self._ledger.requeue_queued()
        self._observers.events("worker_died", worker="queue", why="process died", lost=lost)
        self.queue = self._start_queue(self._settled())

    def save(self, folder: Path) -> None:
        """Write the queue's contents into ``folder``."""
        queue = self.queue
        try:
            snapshot = queue.snapshot()
        except QueueDiedError:
            self.revive(queue)
            snapshot = self._settled()
        (folder / QUEUE_FILE).write_bytes(pickle.dumps(snapshot))

    def state(self) -> dict[str, Any]:
        """The ledger, as plain JSON."""
        return self._ledger.state()

    def _cut(self, tickets: Sequence[Ticket]) -> Iterator[Sequence[Ticket]]:
        """Engine calls as in ``rlpost.loop``, except that a suspect prompt gets one of its own."""
        for ticket in tickets:
            if self._ledger.is_suspect(ticket.index):
                yield [ticket]
        trusted = [t for t in tickets if not self._ledger.is_suspect(t.index)]
        yield from chunks(trusted, self._spec.plan.prompts_per_call)

    def _enter(self, outcome: PromptResult) -> None:
        index, attempt = outcome.index, outcome.attempt
        if outcome.answer in ("ok", "duplicate"):
            self._ledger.queued(index)
        elif outcome.answer == "stale":
            self._ledger.stale(index, attempt)
            self._observers.events("group_dropped", index=index)
        else:
            self._ledger.failed(index, attempt, outcome.why)
            self._observers.events("reward_failed", index=index, why=outcome.why)

    def _enter_filtered(self, outcomes: Sequence[PromptResult]) -> None:
        """A group that an earlier, lost worker had put counts, whatever was sampled since."""
        rule, plan = self._spec.plan.dynamic_sampling, self._spec.plan
        found = [o for o in outcomes if self._ledger.is_running(o.index, o.attempt)]
        if not found or rule is None:
            return
        held = self._discard([outcome.index for outcome in found])
        for outcome in found:
            if outcome.index in held:
                self._ledger.queued(outcome.index)
            else:
                self._ledger.filtered(outcome.index, outcome.reward)
                self._observers.events("group_filtered", index=outcome.index, reward=outcome.reward)
        check_budget(
            self.filtered_rewards,
            rule=rule,
            groups_per_step=plan.groups_per_step,
            num_kept=self._ledger.num_queued,
            doing="sampling the groups of a step",
            steps=self._spec.streaming.max_lag + 1,
        )

    def _discard(self, indices: Sequence[int]) -> Sequence[int]:
        queue = self.queue
        try:
            return queue.discard(indices)
        except QueueDiedError:
            self.revive(queue)
            return ()

    def _report_quarantined(self) -> None:
        given_up = list(self._ledger.quarantined.items())
        for index, why in given_up[self._num_quarantined :]:
            self._observers.events("prompt_quarantined", index=index, why=why)
        self._num_quarantined = len(given_up)
        if len(given_up) > self._spec.streaming.max_quarantined:
            raise TrainingError(
                f"{len(given_up)} prompts were given up, more than the budget of "
                f"{self._spec.streaming.max_quarantined}; the last one because: {given_up[-1][1]}"
            )

    def _start_queue(self, snapshot: QueueSnapshot | None) -> QueueClient:
        plan, streaming = self._spec.plan, self._spec.streaming
        buffer = GroupBuffer(
            run_id=plan.run_id,
            max_rows=(streaming.max_lag + 1) * plan.groups_per_step * plan.group_size,
            max_bytes=streaming.queue_bytes,
            max_lag=streaming.max_lag,
            max_attempts=streaming.max_attempts,
        )
        queue = start_queue(buffer, wait_s=streaming.stall_s, snapshot=snapshot)
        ready = queue.actor.stats.remote()
        self._nodes.await_answer(ready, limit_s=streaming.start_s, doing="starting the queue")
        return queue

    def _settled(self) -> QueueSnapshot:
        """An empty queue that knows what was trained."""
        state = self._ledger.state()
        return QueueSnapshot(
            version=0,
            waiting=(),
            settled_below=state["settled_below"],
            settled_beyond=tuple(state["settled_beyond"]),
            next_attempts={},
            deliveries={},
            dropped={},
            quarantined={},
        )


def _new_ledger(spec: RunSpec) -> Ledger:
    plan, source = spec.plan, spec.source
    return Ledger(
        ticket_at=lambda index, attempt: ticket_at(index, plan, source, attempt=attempt),
        steps=plan.steps,
        groups_per_step=plan.groups_per_step,
        prompts_per_call=plan.prompts_per_call,
        max_lag=spec.streaming.max_lag,
        max_attempts=spec.streaming.max_attempts,
    )


def _read_snapshot(checkpoint: Path) -> QueueSnapshot:
    snapshot: QueueSnapshot = pickle.loads((checkpoint / QUEUE_FILE).read_bytes())
    return snapshot
