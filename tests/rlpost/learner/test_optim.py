"""The learning rate by hand, and what a step without gradient does."""

import pytest

from rlpost.learner.optim import OptimSettings, learning_rate


def rates(count, **settings):
    chosen = OptimSettings(learning_rate=1.0, **settings)
    return [learning_rate(step, chosen) for step in range(count)]


def test_shapes_by_hand() -> None:
    assert rates(3) == [1.0, 1.0, 1.0]
    assert rates(5, warmup_steps=2, schedule="linear", total_steps=4) == [0.5, 1.0, 1.0, 0.5, 0.0]
    cosine = rates(4, schedule="cosine", total_steps=2)
    assert cosine == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_a_warm_up_as_long_as_the_run() -> None:
    assert rates(4, warmup_steps=4, schedule="cosine", total_steps=4) == [0.25, 0.5, 0.75, 1.0]
