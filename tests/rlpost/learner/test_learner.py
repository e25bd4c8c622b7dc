"""One optimizer step: against a literal one, what must not change it, what stops it."""

import dataclasses
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from rankers.errors import UserError
from rlpost.errors import TrainingError
from rlpost.learner.optim import OptimSettings
from rlpost.tracking.metrics import metric
from rlpost.weights.lora import LoraSettings
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

REWARDS = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0, 0.5], [0.7, 0.7], [0.0, 0.5, 1.0]]
SGD_LIKE = OptimSettings(learning_rate=1.0, betas=(0.0, 0.0), epsilon=1e6, max_grad_norm=1e9)
"""AdamW with a huge epsilon moves by gradient / epsilon: parameters show the gradient."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


def weights(learner):
    return {n: p.detach().clone() for n, p in learner.trained_parameters().items()}


def moved_by(learner, groups):
    """What a step adds to each adapter matrix."""
    before = weights(learner)
    learner.step(groups)
    return {name: after - before[name] for name, after in weights(learner).items()}


def assert_same(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], **tolerance)


def test_gradient_equals_a_literal_implementation(folder) -> None:
    """Loop over samples and tokens, dense logits, no packing, PEFT's own forward."""
    learner = tiny_learner(folder, optim=SGD_LIKE, tokens_per_batch=64)
    groups = random_groups(learner, REWARDS)
    reference = tiny_learner(folder)
    model = reference.peft_model
    model.set_attn_implementation("eager")
    loss, count = 0.0, sum(len(r.completion.token_ids) for g in groups for r in g.rollouts)
    for group in groups:
        rewards = torch.tensor(group.rewards_G, dtype=torch.float64)
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        for rollout, advantage in zip(group.rollouts, advantages, strict=True):
            prompt, answer = group.ticket.prompt.token_ids, rollout.completion.token_ids
            logp = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            for t, token in enumerate(answer):
                new = logp[len(prompt) + t - 1, token]
                loss = loss - advantage.float() * (new - new.detach()).exp() / count
    loss.backward()
    expected = {name: -p.grad / 1e6 for name, p in reference.trained_parameters().items()}
    assert max(t.abs().max() for t in expected.values()) > 1e-8
    assert_same(moved_by(learner, groups), expected, atol=1e-12, rtol=2e-3)


@pytest.mark.parametrize("objective", ["clip", "gspo", "cispo", "gmpo"])
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean"])
def test_the_token_budget_does_not_change_the_update(folder, objective, aggregation) -> None:
    steps = []
    for budget in (4096, 64, 33):
        learner = tiny_learner(
            folder,
            objective=objective,
            aggregation=aggregation,
            optim=dataclasses.replace(SGD_LIKE, epsilon=1.0),
            tokens_per_batch=budget,
        )
        steps.append(moved_by(learner, random_groups(learner, REWARDS)))
    for other in steps[1:]:
        assert_same(other, steps[0], atol=1e-6, rtol=1e-4)


def test_the_order_of_groups_does_not_matter_and_that_of_siblings_only_by_rounding(folder) -> None:
    base = tiny_learner(folder)
    groups = random_groups(base, REWARDS)
    base.step(groups)
    shuffled = tiny_learner(folder)
    shuffled.step(groups[::-1])
    assert_same(weights(shuffled), weights(base), atol=0, rtol=0)
    flipped = tiny_learner(folder, optim=SGD_LIKE)
    straight = tiny_learner(folder, optim=SGD_LIKE)
    siblings = [dataclasses.replace(g, rollouts=g.rollouts[::-1]) for g in groups]
    assert_same(moved_by(flipped, siblings), moved_by(straight, groups), atol=1e-11, rtol=1e-3)


@pytest.mark.parametrize("credit", ["group_mean", "leave_one_out"])
def test_constant_rewards_leave_the_parameters_untouched(folder, credit) -> None:
    learner = tiny_learner(folder, credit=credit)
    before = weights(learner)
    for step in range(3):
        metrics = learner.step(random_groups(learner, [[0.7] * 4, [0.1] * 3], seed=step))
    assert_same(weights(learner), before, atol=0, rtol=0)
    assert metrics["grad_norm"] == 0
    assert metrics["loss/policy"] == 0
    assert metrics["frac_degenerate_groups"] == 1
    assert learner.version == 3


def test_a_group_without_credit_weighs_in_the_denominator_only(folder) -> None:
    """Dropping it from the row must not change what the others do, but for their share."""
    learner = tiny_learner(folder, optim=SGD_LIKE, aggregation="sequence_mean")
    alone = tiny_learner(folder, optim=SGD_LIKE, aggregation="sequence_mean")
    groups = random_groups(learner, [[1.0, 0.0], [0.7, 0.7]])
    with_idle, without = moved_by(learner, groups), moved_by(alone, groups[:1])
    half = {name: tensor / 2 for name, tensor in without.items()}
    assert_same(with_idle, half, atol=1e-12, rtol=1e-3)


def test_metrics(folder) -> None:
    learner = tiny_learner(folder)
    groups = random_groups(learner, REWARDS)
    metrics = learner.step(groups)
    for name in metrics:
        metric(name)
    tokens = sum(len(r.completion.token_ids) for g in groups for r in g.rollouts)
    assert metrics["tokens/completion"] == tokens
    assert metrics["tokens/step"] == sum(g.num_tokens for g in groups)
    assert metrics["ratio/mean"] == pytest.approx(1, abs=1e-5)
    assert metrics["ratio/max"] == pytest.approx(1, abs=1e-4)
    assert metrics["kl/behaviour"] == pytest.approx(0, abs=1e-8)
    assert metrics["clip_ratio/low"] == metrics["clip_ratio/high"] == 0
    assert 0 < metrics["entropy"] < math.log(329)
    assert metrics["lr"] == 1e-2
    again = learner.step(groups)
    assert again["kl/behaviour"] > 0
    assert again["clip_ratio/low"] + again["clip_ratio/high"] > 0


def test_epochs_and_minibatches_are_optimizer_steps_of_one_version(folder) -> None:
    groups = random_groups(tiny_learner(folder), REWARDS)
    twice = tiny_learner(folder, epochs=2)
    twice.step(groups)
    stepwise = tiny_learner(folder)
    stepwise.step(groups)
    stepwise.step(groups)
    assert (twice.version, stepwise.version) == (1, 2)
    assert_same(weights(twice), weights(stepwise), atol=0, rtol=0)
    cut = tiny_learner(folder, minibatches=4, objective="reinforce")
    cut.step(groups)
    assert cut.version == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_log_probability_stops_the_run_before_the_weights(folder, value) -> None:
    learner = tiny_learner(folder)
    groups = random_groups(learner, REWARDS)
    before = weights(learner)
    completion = dataclasses.replace(
        groups[1].rollouts[0].completion,
        logprobs_T=(value,) * len(groups[1].rollouts[0].completion.token_ids),
    )
    broken = dataclasses.replace(
        groups[1],
        rollouts=(
            dataclasses.replace(groups[1].rollouts[0], completion=completion),
            *groups[1].rollouts[1:],
        ),
    )
    with pytest.raises(TrainingError, match="step 1"):
        learner.step([groups[0], broken])
    assert_same(weights(learner), before, atol=0, rtol=0)
    assert learner.version == 0
    learner.step(groups)
    assert learner.version == 1


def test_a_non_finite_gradient_stops_the_run_with_the_weights_untouched(folder) -> None:
    learner = tiny_learner(folder)
    groups = random_groups(learner, REWARDS)
    next(iter(learner.trained_parameters().values())).data.fill_(math.nan)
    before = weights(learner)
    with pytest.raises(TrainingError, match="step 1: loss/policy is nan"):
        learner.step(groups)
    assert_same(weights(learner), before, atol=0, rtol=0, equal_nan=True)


def test_score_equals_the_plain_model(folder) -> None:
    learner = tiny_learner(folder)
    learner.step(random_groups(learner, REWARDS))
    prompt, answer = (5, 9, 14), (17, 3)
    scores = learner.score(prompt, answer)
    assert learner.score(prompt, ()) == []
    learner.peft_model.set_attn_implementation("eager")
    logp = learner.peft_model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    expected = [logp[2 + t, token].item() for t, token in enumerate(answer)]
    assert scores == pytest.approx(expected, abs=1e-5)
    base = AutoModelForCausalLM.from_pretrained(folder)
    untrained = base(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)[2, 17].item()
    assert abs(untrained - expected[0]) > 1e-4


def test_equal_seeds_make_equal_adapters(folder) -> None:
    assert_same(weights(tiny_learner(folder)), weights(tiny_learner(folder)), atol=0, rtol=0)
    other = weights(tiny_learner(folder, seed=1))
    assert any(not torch.equal(other[n], w) for n, w in weights(tiny_learner(folder)).items())


def test_dropout_is_seeded_and_off_while_scoring(folder) -> None:
    lora = LoraSettings(rank=4, dropout=0.5)
    runs = []
    for _ in range(2):
        learner = tiny_learner(folder, lora=lora)
        groups = random_groups(learner, REWARDS)
        learner.step(groups)
        learner.step(groups)
        runs.append(weights(learner))
        assert learner.score((1, 2), (3,)) == learner.score((1, 2), (3,))
    assert_same(runs[0], runs[1], atol=0, rtol=0)


def test_bad_choices_are_user_errors(folder) -> None:
    with pytest.raises(UserError, match="objective 'nope' is unknown: use one of reinforce"):
        tiny_learner(folder, objective="nope")
    with pytest.raises(UserError, match="match no layer"):
        tiny_learner(folder, lora=LoraSettings(target_modules=("nope",)))
    small = tiny_learner(folder, tokens_per_batch=10)
    groups = random_groups(small, REWARDS)
    with pytest.raises(UserError, match=r"learner\.tokens_per_batch is 10"):
        small.step(groups)
