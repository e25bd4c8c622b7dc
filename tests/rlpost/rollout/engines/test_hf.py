"""The reference engine: sampling against plain arithmetic, log-probs against a full forward."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from rankers.errors import UserError
from rlpost.errors import EngineError
from rlpost.models.loading import load_base
from rlpost.rollout.engines.hf import HfEngine, draw
from rlpost.types import PolicyRef, Prompt, Sampling

SEEDS = [[11, 12, 13], [21, 22], [31]]
WARM = Sampling(temperature=0.7, max_tokens=12)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> HfEngine:
    return HfEngine(tiny_model)


def forward_logprobs(
    model: torch.nn.Module, prompt: Prompt, completion_ids: tuple[int, ...], temperature: float
) -> list[float]:
    """Log-probabilities from one pass over the whole sequence: no cache, no padding."""
    ids = torch.tensor([[*prompt.token_ids, *completion_ids]])
    with torch.no_grad():
        logits_LV = model(ids).logits[0] / temperature
    logprobs_LV = torch.log_softmax(logits_LV, -1)
    first = len(prompt.token_ids) - 1
    return [float(logprobs_LV[first + t, token]) for t, token in enumerate(completion_ids)]


def test_draw_inverts_the_cumulative_distribution() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.7]])).repeat(4, 1)
    tokens, logprobs = draw(
        logits, torch.tensor([0.05, 0.15, 0.31, 0.999999999], dtype=torch.float64), 1.0
    )
    assert tokens.tolist() == [0, 1, 2, 2]
    assert logprobs.tolist() == pytest.approx([math.log(p) for p in (0.1, 0.2, 0.7, 0.7)])


def test_draw_at_a_temperature_reports_that_distribution() -> None:
    # At temperature 1/2 the odds 1 : 2 become 1 : 4.
    logits = torch.log(torch.tensor([[1.0, 2.0]])).repeat(2, 1)
    tokens, logprobs = draw(logits, torch.tensor([0.19, 0.21], dtype=torch.float64), 0.5)
    assert tokens.tolist() == [0, 1]
    assert logprobs.tolist() == pytest.approx([math.log(0.2), math.log(0.8)])


def test_draw_greedily_reports_temperature_one() -> None:
    logits = torch.log(torch.tensor([[1.0, 3.0]]))
    tokens, logprobs = draw(logits, torch.tensor([0.0], dtype=torch.float64), 0)
    assert tokens.tolist() == [1]
    assert logprobs.tolist() == pytest.approx([math.log(0.75)])


def test_draw_never_leaves_the_vocabulary() -> None:
    tokens, _ = draw(torch.zeros(1, 1000), torch.tensor([1 - 1e-16], dtype=torch.float64), 1.0)
    assert tokens.item() == 999


def test_logprobs_are_those_of_the_sampling_distribution(
    engine: HfEngine, tiny_model: Path, prompts: list[Prompt]
) -> None:
    model = load_base(tiny_model, "float32")
    for sampling in (WARM, Sampling(temperature=0, max_tokens=12)):
        completions_P_G = engine.generate(prompts, seeds_P_G=SEEDS, sampling=sampling)
        for prompt, completions_G in zip(prompts, completions_P_G, strict=True):
            for completion in completions_G:
                want = forward_logprobs(
                    model, prompt, completion.token_ids, sampling.temperature or 1.0
                )
                assert completion.logprobs_T == pytest.approx(want, abs=2e-5)


def test_siblings_depend_on_their_seed_alone(engine: HfEngine, prompts: list[Prompt]) -> None:
    together = engine.generate(prompts, seeds_P_G=SEEDS, sampling=WARM)
    alone = engine.generate(prompts[1:2], seeds_P_G=[[22]], sampling=WARM)
    assert alone[0][0].token_ids == together[1][1].token_ids
    assert len({c.token_ids for c in together[0]}) == 3


def test_splitting_a_call_changes_no_token(
    tiny_model: Path, prompts: list[Prompt], engine: HfEngine
) -> None:
    split = HfEngine(tiny_model, max_sequences=2)
    got = split.generate(prompts, seeds_P_G=SEEDS, sampling=WARM)
    want = engine.generate(prompts, seeds_P_G=SEEDS, sampling=WARM)
    assert [[c.token_ids for c in group] for group in got] == [
        [c.token_ids for c in group] for group in want
    ]


def test_sampled_frequencies_follow_the_distribution(
    engine: HfEngine, prompts: list[Prompt]
) -> None:
    n = 2000
    one = Sampling(temperature=1.0, max_tokens=1)
    [siblings] = engine.generate(prompts[:1], seeds_P_G=[list(range(n))], sampling=one)
    probability = {c.token_ids[0]: math.exp(c.logprobs_T[0]) for c in siblings}
    for token, p in probability.items():
        count = sum(c.token_ids[0] == token for c in siblings)
        assert abs(count - n * p) <= 5 * math.sqrt(n * p * (1 - p)) + 5


def test_a_stop_token_ends_the_completion(engine: HfEngine, prompts: list[Prompt]) -> None:
    long = Sampling(temperature=1.0, max_tokens=300)
    [siblings] = engine.generate(prompts[1:2], seeds_P_G=[list(range(16))], sampling=long)
    stopped = [c for c in siblings if c.finish == "stop"]
    assert stopped
    for completion in siblings:
        assert (2 in completion.token_ids) == (completion.finish == "stop")
        assert 2 not in completion.token_ids[:-1]
        assert "<|im_end|>" not in completion.text


def test_score_is_the_forward_pass(
    engine: HfEngine, tiny_model: Path, prompts: list[Prompt]
) -> None:
    want = forward_logprobs(load_base(tiny_model, "float32"), prompts[0], (5, 6, 7), 1.0)
    assert engine.score(prompts[0].token_ids, (5, 6, 7)) == pytest.approx(want, abs=1e-5)
    assert engine.score(prompts[0].token_ids, ()) == []


def test_load_switches_weights_and_version(
    tiny_model: Path, prompts: list[Prompt], policies: list[PolicyRef]
) -> None:
    engine = HfEngine(tiny_model)
    base = engine.score(prompts[0].token_ids, (5, 6, 7))
    for policy in (policies[0], policies[1], policies[0]):
        engine.load(policy)
        peft_model = PeftModel.from_pretrained(load_base(tiny_model, "float32"), policy.path)
        want = forward_logprobs(peft_model, prompts[0], (5, 6, 7), 1.0)
        got = engine.score(prompts[0].token_ids, (5, 6, 7))
        assert got == pytest.approx(want, abs=1e-5)
        assert got != pytest.approx(base, abs=0.1)
        [[completion]] = engine.generate(prompts[:1], seeds_P_G=[[1]], sampling=WARM)
        assert set(completion.versions_T) == {policy.version}


def test_a_refused_policy_changes_nothing(
    tiny_model: Path, prompts: list[Prompt], policies: list[PolicyRef]
) -> None:
    engine = HfEngine(tiny_model)
    engine.load(policies[0])
    before = engine.score(prompts[0].token_ids, (5, 6, 7))
    with pytest.raises(EngineError, match="expected 9"):
        engine.load(PolicyRef(version=9, path=policies[1].path))
    assert engine.version == 1
    assert engine.score(prompts[0].token_ids, (5, 6, 7)) == before


def test_a_prompt_that_does_not_fit_is_named(tiny_model: Path, prompts: list[Prompt]) -> None:
    length = len(prompts[0].token_ids)
    engine = HfEngine(tiny_model, max_length=length + 11)
    with pytest.raises(UserError, match=rf"'q0' has {length} tokens.*12.*context of {length + 11}"):
        engine.generate(prompts[:1], seeds_P_G=[[1]], sampling=WARM)
    empty = Prompt(id="empty", messages=(), token_ids=())
    with pytest.raises(UserError, match="'empty' has no tokens"):
        engine.generate([empty], seeds_P_G=[[1]], sampling=WARM)
