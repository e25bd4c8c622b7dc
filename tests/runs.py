"""Small runs of the driver for tests: a spec out of stand-ins, and a diary of what happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rlpost.loop import StepRecord, train
from rlpost.rollout.collect import Plan
from rlpost.rollout.dynamic_sampling import DynamicSampling
from rlpost.types import Sampling
from tests.fakes import CoarseReward, HashLearner, LengthReward, NumberSource, ScriptedEngine
from workers.train.spec import CanarySpec, CheckpointPlan, Observers, Resources, RunSpec, Streaming

ONE_WORKER = Resources()
FAST = Streaming(start_s=600, stall_s=240, lease_ttl_s=240)


@dataclass
class Diary:
    """All that a driver reported."""

    records: list[StepRecord] = field(default_factory=list)
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    spans: list[tuple[str, str, float, float]] = field(default_factory=list)

    @property
    def observers(self) -> Observers:
        return Observers(step=self.records.append, events=self._event, trace=self._span)

    @property
    def trained(self) -> Counter[int]:
        """How often each stream position was trained on."""
        return Counter(g.ticket.index for record in self.records for g in record.groups)

    @property
    def final_loss(self) -> float:
        """Of the stand-in learner: a hash of everything it was given."""
        return self.records[-1].metrics["loss/policy"]

    def overlap(self, one: str, other: str) -> float:
        """Seconds in which both actors were busy."""
        mine = [(start, end) for _, actor, start, end in self.spans if actor == one]
        theirs = [(start, end) for _, actor, start, end in self.spans if actor == other]
        return sum(max(0.0, min(e1, e2) - max(s1, s2)) for s1, e1 in mine for s2, e2 in theirs)

    def kinds(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.events)

    def _event(self, kind: str, **fields: object) -> None:
        self.events.append((kind, fields))

    def _span(self, name: str, actor: str, start: float, end: float) -> None:
        self.spans.append((name, actor, start, end))


def small_plan(folder: Path, *, steps: int = 5) -> Plan:
    return Plan(
        run_id="test",
        seed=7,
        steps=steps,
        groups_per_step=6,
        group_size=3,
        prompts_per_call=2,
        sampling=Sampling(temperature=1.0, max_tokens=8),
        policies=folder / "policies",
    )


def small_spec(
    folder: Path,
    *,
    steps: int = 5,
    engine: ScriptedEngine | None = None,
    learner: HashLearner | None = None,
    streaming: Streaming = FAST,
    resources: Resources = ONE_WORKER,
    checkpoint_every: int = 2,
) -> RunSpec:
    """A run of stand-ins; ``engine`` and ``learner`` are copied into their processes."""
    return RunSpec(
        plan=small_plan(folder, steps=steps),
        source=NumberSource(),
        engine=partial(replace, engine or ScriptedEngine()),
        reward=LengthReward,
        learner=partial(replace, learner or HashLearner()),
        checkpoints=CheckpointPlan(run_dir=folder, every=checkpoint_every, keep=10),
        streaming=streaming,
        resources=resources,
        canary=CanarySpec(prompt_ids=(1, 2), completion_ids=(3, 4), tolerance=1e-6),
    )


def with_dynamic_sampling(spec: RunSpec, *, max_ratio: float = 3.0) -> RunSpec:
    """The same run with a reward that leaves about one group in four without contrast."""
    plan = replace(spec.plan, dynamic_sampling=DynamicSampling(max_ratio=max_ratio))
    return replace(spec, plan=plan, reward=CoarseReward)


def loop_records(
    folder: Path, *, steps: int = 5, dynamic_sampling: bool = False
) -> list[StepRecord]:
    """What the single-process specification makes of the same run."""
    records: list[StepRecord] = []
    spec = small_spec(folder, steps=steps)
    if dynamic_sampling:
        spec = with_dynamic_sampling(spec)
    train(
        plan=spec.plan,
        source=NumberSource(),
        engine=ScriptedEngine(),
        reward=spec.reward(),
        learner=HashLearner(),
        observe=records.append,
    )
    return records
