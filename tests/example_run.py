"""A made-up run of the rerank task, whole or cut off, for tests of what reads run directories."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

from rlpost.tracking.metrics import group_metrics
from rlpost.tracking.run_dir import RunDir
from rlpost.tracking.summary import Delta, Summary
from rlpost.types import Completion, Group, GroupKey, Message, Prompt, Rollout, Score, Ticket

CONFIG = "name: example\nseed: 0\nsteps: 40\nmodel:\n  path: tiny-ranker\n"
EPOCH = 1_760_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Stands for a task's payload."""

    doc_ids: tuple[str, ...]
    gains: tuple[int, ...]


def group(index: int, rewards_G: tuple[float, ...], *, version: int = 0) -> Group:
    """One group whose completions are rankings of five passages."""
    question = (
        "Return the largest value, or the default <b>if</b> the iterable & its tail are empty"
    )
    passages = [f"Passage number {n} about iterables, {question.lower()}" for n in range(1, 6)]
    text = "\n".join(
        [f"Query: {question}", *(f"{p} [{n}]" for n, p in enumerate(passages, start=1)), "Ranking:"]
    )
    prompt = Prompt(
        id=f"builtins:max{index}",
        messages=(Message(role="user", content=text),),
        token_ids=tuple(range(150)),
        payload=Judged(doc_ids=("d1", "d2", "d3", "d4", "d5"), gains=(0, 0, 1, 0, 0)),
    )
    key = GroupKey("example", 0, prompt.id, 0)
    rollouts = tuple(_rollout(index, i, r, version) for i, r in enumerate(rewards_G))
    return Group(ticket=Ticket(index=index, key=key, prompt=prompt), rollouts=rollouts)


def _rollout(index: int, sibling: int, reward: float, version: int) -> Rollout:
    order = random.Random(f"{index}/{sibling}").sample(range(1, 6), 5)
    tokens = (5, 6, 7, 8, 9, 2)
    completion = Completion(
        token_ids=tokens,
        logprobs_T=(-0.5,) * len(tokens),
        versions_T=(version,) * len(tokens),
        finish="stop",
        text=" > ".join(f"[{n}]" for n in order),
    )
    return Rollout(completion=completion, score=Score(total=reward, parts={"ndcg": reward}))


def write_example_run(path: Path, *, steps: int = 40, finished: bool = True) -> Path:
    """A run directory with ``steps`` steps; without a summary unless ``finished``."""
    run = RunDir.create(path, CONFIG)
    rng = random.Random(0)
    run.events("run_started")
    now = EPOCH
    for step in range(1, steps + 1):
        level = 0.55 + 0.3 * (1 - math.exp(-step / 15))
        groups = [
            group(step * 8 + i, tuple(min(1.0, max(0.1, rng.gauss(level, 0.2))) for _ in range(8)))
            for i in range(8)
        ]
        now = _write_spans(run, now, step, rng)
        run.log_step(step, step, {**group_metrics(groups), **_learner_metrics(step, rng)})
        advantages = [[r - sum(g.rewards_G) / 8 for r in g.rewards_G] for g in groups]
        run.log_rollouts(step, groups, advantages)
        run.events("policy_published", version=step)
    run.events("worker_died", worker="rollout-0", tickets=4)
    if finished:
        run.events("run_finished")
        run.write_summary(example_summary(steps))
    run.close()
    return path


def example_summary(steps: int) -> Summary:
    return Summary(
        status="finished",
        steps=steps,
        before={"nDCG@10": 0.6123, "RR@10": 0.4911},
        after={"nDCG@10": 0.6581, "RR@10": 0.5466},
        delta={
            "nDCG@10": Delta(mean=0.0458, ci95=(0.0291, 0.0622), p=0.0002),
            "RR@10": Delta(mean=0.0555, ci95=(-0.0012, 0.0761), p=0.061),
        },
        baselines={"BM25": {"nDCG@10": 0.7012, "RR@10": 0.6101}},
        num_queries=500,
        seconds={"warm_start": 62.1, "rl": 181.4, "evaluation": 22.0, "total": 301.2},
        peak_rss_mb=5123.4,
    )


def _learner_metrics(step: int, rng: random.Random) -> dict[str, float]:
    return {
        "loss/policy": rng.gauss(0, 0.01),
        "grad_norm": 0.4 + 0.1 * rng.random(),
        "lr": 1e-4,
        "entropy": 1.6 * math.exp(-step / 30) + 0.05 * rng.random(),
        "ratio/mean": 1.0,
        "ratio/max": 1.0 + 0.1 * rng.random(),
        "kl/behaviour": 1e-3 * rng.random(),
        "staleness/mean": 0.0 if step < 3 else 0.7,
        "staleness/max": 0.0 if step < 3 else 1.0,
        "perf/samples_per_s": 30 + 3 * rng.random(),
    }


def _write_spans(run: RunDir, now: float, step: int, rng: random.Random) -> float:
    sampled = now + 2.0 + rng.random()
    learnt = sampled + 1.2 + 0.3 * rng.random()
    run.trace("sample", "rollout-0", now, sampled - 0.2)
    run.trace("sample", "rollout-1", now, sampled - 0.6)
    run.trace("score", "rollout-0", sampled - 0.2, sampled - 0.1)
    run.trace("put", "rollout-0", sampled - 0.1, sampled)
    run.trace("step", "learner", sampled, learnt)
    run.trace("publish", "learner", learnt, learnt + 0.1)
    for worker in ("rollout-0", "rollout-1"):
        run.trace("load", worker, learnt + 0.1, learnt + 0.25)
    if step % 10 == 0:
        run.trace("checkpoint", "learner", learnt + 0.1, learnt + 0.4)
    return learnt + 0.3
