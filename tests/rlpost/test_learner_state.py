"""Publishing, saving and resuming: whole or absent, and bit for bit."""

import dataclasses

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rlpost.errors import CheckpointError
from rlpost.learner.optim import OptimSettings
from rlpost.rollout.engines.hf import HfEngine
from rlpost.weights.adapter_files import verify
from rlpost.weights.lora import LoraSettings
from tests.tiny_learner import random_groups, tiny_learner
from tests.tiny_model import tiny_model_dir

REWARDS = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0, 0.5]]
SETTINGS = {
    "lora": LoraSettings(rank=4, dropout=0.1),
    "optim": OptimSettings(
        learning_rate=1e-2, schedule="cosine", warmup_steps=2, total_steps=6, weight_decay=0.01
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_dir(tmp_path_factory.mktemp("tiny"))


def weights(learner):
    return {n: p.detach().clone() for n, p in learner.trained_parameters().items()}


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(folder, tmp_path) -> None:
    straight = tiny_learner(folder, **SETTINGS)
    batches = [random_groups(straight, REWARDS, seed=s) for s in range(5)]
    metrics = [straight.step(groups) for groups in batches]

    first = tiny_learner(folder, **SETTINGS)
    for groups in batches[:3]:
        first.step(groups)
    first.save(tmp_path)
    resumed = tiny_learner(folder, **(SETTINGS | {"seed": 5}))
    torch.rand(7)
    resumed.restore(tmp_path)
    assert resumed.version == 3
    assert_equal(weights(resumed), weights(first))
    for groups, expected in zip(batches[3:], metrics[3:], strict=True):
        assert resumed.step(groups) == expected
    assert_equal(weights(resumed), weights(straight))


def test_a_checkpoint_of_another_model_is_refused_untouched(folder, tmp_path) -> None:
    tiny_learner(folder).save(tmp_path)
    other = tiny_learner(folder, lora=LoraSettings(rank=2))
    before = weights(other)
    with pytest.raises(CheckpointError, match="other LoRA settings"):
        other.restore(tmp_path)
    assert_equal(weights(other), before)
    (tmp_path / "learner.pt").unlink()
    with pytest.raises(CheckpointError, match="not a complete learner checkpoint"):
        tiny_learner(folder).restore(tmp_path)


def test_the_saved_adapter_loads_in_peft(folder, tmp_path) -> None:
    learner = tiny_learner(folder)
    learner.step(random_groups(learner, REWARDS))
    learner.save(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    logp = model(torch.tensor([[5, 9, 14, 17, 3]])).logits[0].log_softmax(-1)
    expected = [logp[2, 17].item(), logp[3, 3].item()]
    assert learner.score((5, 9, 14), (17, 3)) == pytest.approx(expected, abs=1e-5)


def test_published_policies_are_versioned_verified_and_served(folder, tmp_path) -> None:
    learner = tiny_learner(folder)
    engine = HfEngine(folder)
    base = engine.score((5, 9, 14), (17, 3))
    for version in range(3):
        policy = learner.publish(tmp_path / "policies")
        assert policy.path.name == f"policy-v{version}"
        assert verify(policy).version == policy.version == version
        engine.load(policy)
        scores = engine.score((5, 9, 14), (17, 3))
        assert learner.score((5, 9, 14), (17, 3)) == pytest.approx(scores, abs=1e-5)
        assert (scores == pytest.approx(base, abs=1e-6)) == (version == 0)
        learner.step(random_groups(learner, REWARDS, seed=version))
    names = {path.name for path in (tmp_path / "policies").iterdir()}
    assert names == {"policy-v0", "policy-v1", "policy-v2"}


def test_a_published_policy_is_never_overwritten(folder, tmp_path) -> None:
    learner = tiny_learner(folder)
    first = learner.publish(tmp_path)
    stamp = (first.path / "adapter_model.safetensors").stat().st_mtime_ns
    assert learner.publish(tmp_path) == first
    assert (first.path / "adapter_model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(CheckpointError, match="holds other weights"):
        tiny_learner(folder, seed=1).publish(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["policy-v0"]


def test_the_schedule_goes_on_after_a_restore(folder, tmp_path) -> None:
    learner = tiny_learner(folder, **SETTINGS, epochs=2)
    learner.step(random_groups(learner, REWARDS))
    learner.save(tmp_path)
    resumed = tiny_learner(folder, **SETTINGS, epochs=2)
    resumed.restore(tmp_path)
    rate = resumed.step(random_groups(resumed, REWARDS))["lr"]
    settings = dataclasses.replace(SETTINGS["optim"])
    # Updates 2 and 3 of a cosine over steps 2..6: progress 0 and 1/4; the last one is reported.
    assert rate == pytest.approx(settings.learning_rate * 0.8535533905932737)
