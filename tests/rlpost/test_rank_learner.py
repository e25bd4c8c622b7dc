"""Rank-GRPO through the learner: what earned credit gets likelier, however the step is cut."""

from dataclasses import replace

import pytest
import torch

from rlpost.learner.optim import OptimSettings
from rlpost.types import Group, ListScore, Rollout, Segment
from tests.tiny_learner import random_groups, tiny_learner

ALGORITHM = {"credit": {"kind": "rank"}, "objective": "rank_grpo", "aggregation": "rank_mean"}


def lists(learner) -> list[Group]:
    """Three groups of four lists: one token outside, two ranks of any length, an end."""
    groups = random_groups(learner, [[0.0] * 4] * 3, seed=1)
    return [
        replace(group, rollouts=tuple(as_list(r, i) for i, r in enumerate(group.rollouts)))
        for group in groups
    ]


def as_list(rollout: Rollout, sibling: int) -> Rollout:
    """Siblings 0 and 1 are right at rank 0, sibling 2 at rank 1."""
    count = len(rollout.completion.token_ids)
    lengths = (min(1, count), max(0, count - 4), min(2, max(0, count - 2)), min(1, count - 1))
    parts = zip(lengths, (None, 0, 1, None), (-1, 0, 0, 1), strict=True)
    segments = tuple(Segment(length, rank, sign) for length, rank, sign in parts if length)
    gains_K = (float(sibling < 2), float(sibling == 2))
    places = ListScore(gains_K=gains_K, segments=segments)
    return replace(rollout, score=replace(rollout.score, places=places))


def of_rank(learner, group: Group, sibling: int, rank: int) -> float:
    """Log-probability of what stands at a rank."""
    rollout = group.rollouts[sibling]
    scores = learner.score(group.ticket.prompt.token_ids, rollout.completion.token_ids)
    assert rollout.score.places is not None
    ranks_T = [s.rank for s in rollout.score.places.segments for _ in range(s.length)]
    return sum(x for x, r in zip(scores, ranks_T, strict=True) if r == rank)


def test_a_rank_that_beat_its_siblings_gets_likelier(tiny_model) -> None:
    learner = tiny_learner(tiny_model, **ALGORITHM)
    groups = lists(learner)
    long = next(g for g in groups if all(len(r.completion.token_ids) > 5 for r in g.rollouts[1:3]))
    watched = [(1, 0), (1, 1), (2, 0), (2, 1)]
    before = [of_rank(learner, long, *place) for place in watched]
    for _ in range(2):
        learner.step([long])
    after = [of_rank(learner, long, *place) for place in watched]
    rises = [b > a for a, b in zip(before, after, strict=True)]
    assert rises == [True, False, False, True]


@pytest.mark.parametrize("tokens_per_batch", [48, 120])
def test_the_split_into_micro_batches_does_not_matter(tiny_model, tokens_per_batch) -> None:
    optim = OptimSettings(learning_rate=1e-3, max_grad_norm=1e9)
    trained = []
    for budget in (4096, tokens_per_batch):
        learner = tiny_learner(tiny_model, optim=optim, tokens_per_batch=budget, **ALGORITHM)
        learner.step(lists(learner))
        trained.append(learner.trained_parameters())
    for name, whole in trained[0].items():
        torch.testing.assert_close(whole, trained[1][name], atol=2e-6, rtol=1e-4)
