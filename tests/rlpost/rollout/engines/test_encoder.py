"""Ranking policies: the engine's samples, the learner's gradient, and both on the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from rankers.backends.sentence import SentenceEmbedder
from rankers.errors import UserError
from rankers.evaluation.measures import ndcg
from rankers.methods import bi_encoder_reranker
from rankers.training import plackett_luce
from rankers.types import Passage, Query
from rlpost.learner.build import build_learner
from rlpost.learner.learner import TorchLearner
from rlpost.learner.optim import OptimSettings
from rlpost.models.encoder import Encoder
from rlpost.models.encoder_rows import join_rows, split_rows
from rlpost.models.loading import load_bare_tokenizer
from rlpost.rollout.engines.encoder import EncoderEngine
from rlpost.types import Group, GroupKey, Prompt, Rollout, Sampling, Score, Ticket
from rlpost.weights.lora import LoraSettings
from tests.tiny_encoder import bi_encoder_dir

SCALE = 5.0
TEXTS = ["what eats fish", "the cat eats fish", "a big bird", "the dog sleeps all day", "night"]
GAINS = (0, 1, 0, 2)
DRAWN = Sampling(temperature=1.0, max_tokens=4)
GREEDY = Sampling(temperature=0.0, max_tokens=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bi_encoder_dir(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def engine(model: Path) -> EncoderEngine:
    return EncoderEngine(model, scale=SCALE)


def problem(model: Path, texts: Sequence[str] = TEXTS) -> Prompt:
    tokenizer = load_bare_tokenizer(model)
    rows = [tokenizer(text)["input_ids"] for text in texts]
    return Prompt(id=texts[0], messages=(), token_ids=join_rows(rows))


def learner(model: Path, **overrides: object) -> TorchLearner:
    settings = {
        "model_path": str(model),
        "dtype": "float32",
        "lora": LoraSettings(rank=4, alpha=8.0),
        "seed": 0,
        "credit": {"kind": "leave_one_out", "scale": "none"},
        "objective": "reinforce",
        "aggregation": "sequence_sum",
        "optim": OptimSettings(learning_rate=1e-2, max_grad_norm=1e9),
        "tokens_per_batch": 4096,
        "temperature": 1.0,
        "score_scale": SCALE,
    }
    return build_learner(**(settings | overrides))  # type: ignore[arg-type]


def group(engine: EncoderEngine, prompt: Prompt, seeds: Sequence[int], index: int = 0) -> Group:
    [completions] = engine.generate([prompt], seeds_P_G=[seeds], sampling=DRAWN)
    rollouts = tuple(
        Rollout(completion=c, score=Score(total=ndcg(c.token_ids, GAINS))) for c in completions
    )
    key = GroupKey("run", 0, prompt.id, 0)
    return Group(ticket=Ticket(index=index, key=key, prompt=prompt), rollouts=rollouts)


def test_rows_come_back_as_they_were_joined() -> None:
    rows = [(2, 7, 3), (2, 3), (2, 9, 9, 9, 3)]
    assert split_rows(join_rows(rows)) == rows


def test_embeddings_are_those_of_sentence_transformers(model: Path) -> None:
    rows = split_rows(problem(model).token_ids)
    with torch.no_grad():
        found = Encoder(model).embed(rows)
    expected = torch.nn.functional.normalize(
        torch.from_numpy(SentenceEmbedder(model).embed(TEXTS)), dim=1
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_completion_is_a_ranking_with_its_probability(engine: EncoderEngine, model: Path) -> None:
    prompt = problem(model)
    [[drawn, other]] = engine.generate([prompt], seeds_P_G=[[1, 2]], sampling=DRAWN)
    assert sorted(drawn.token_ids) == [0, 1, 2, 3]
    assert drawn.text == " > ".join(f"[{i + 1}]" for i in drawn.token_ids)
    assert drawn.logprobs_T == pytest.approx(engine.score(prompt.token_ids, drawn.token_ids))
    assert drawn.logprobs_T[-1] == pytest.approx(0.0, abs=1e-6)
    assert other.token_ids != drawn.token_ids or other.logprobs_T == drawn.logprobs_T


def test_a_sibling_depends_on_its_seed_alone(engine: EncoderEngine, model: Path) -> None:
    prompts = [problem(model), problem(model, [TEXTS[0], *TEXTS[3:]])]
    together = engine.generate(prompts, seeds_P_G=[[1, 2, 3], [4]], sampling=DRAWN)
    [[alone]] = engine.generate(prompts[:1], seeds_P_G=[[3]], sampling=DRAWN)
    assert together[0][2] == alone


def test_greedy_is_the_order_of_the_cosines(engine: EncoderEngine, model: Path) -> None:
    vectors = torch.from_numpy(SentenceEmbedder(model).embed(TEXTS))
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    expected = (vectors[1:] @ vectors[0]).argsort(descending=True).tolist()
    [[found]] = engine.generate([problem(model)], seeds_P_G=[[0]], sampling=GREEDY)
    assert list(found.token_ids) == expected


def test_fewer_ranks_may_be_drawn(engine: EncoderEngine, model: Path) -> None:
    few = Sampling(temperature=1.0, max_tokens=2)
    [[short]] = engine.generate([problem(model)], seeds_P_G=[[7]], sampling=few)
    [[whole]] = engine.generate([problem(model)], seeds_P_G=[[7]], sampling=DRAWN)
    assert short.token_ids == whole.token_ids[:2]
    assert short.logprobs_T == pytest.approx(whole.logprobs_T[:2])


def test_the_step_is_the_policy_gradient_of_the_paper(
    engine: EncoderEngine, model: Path, tmp_path: Path
) -> None:
    trained = learner(model)
    engine.load(trained.publish(tmp_path))
    groups = [group(engine, problem(model), range(6))]
    twin = Encoder(model)
    query, *docs = twin.embed(split_rows(groups[0].ticket.prompt.token_ids))
    orders = torch.tensor([r.completion.token_ids for r in groups[0].rollouts])
    loss = plackett_luce.policy_gradient(
        SCALE * torch.stack(docs) @ query, orders, torch.tensor(groups[0].rewards_G)
    )
    metrics = trained.step(groups)
    assert metrics["loss/policy"] == pytest.approx(loss.item(), rel=1e-4)
    assert metrics["ratio/max"] == pytest.approx(1.0, abs=1e-4)


def test_engine_and_learner_agree_after_a_step(
    engine: EncoderEngine, model: Path, tmp_path: Path
) -> None:
    trained = learner(model)
    engine.load(trained.publish(tmp_path))
    prompt = problem(model)
    before = engine.score(prompt.token_ids, (1, 3, 0, 2))
    trained.step([group(engine, prompt, range(6))])
    engine.load(trained.publish(tmp_path))
    after = engine.score(prompt.token_ids, (1, 3, 0, 2))
    assert after == pytest.approx(trained.score(prompt.token_ids, (1, 3, 0, 2)), abs=1e-4)
    assert after != pytest.approx(before, abs=1e-4)


def test_micro_batches_do_not_change_the_step(
    engine: EncoderEngine, model: Path, tmp_path: Path
) -> None:
    prompts = [problem(model), problem(model, [*TEXTS[1:], TEXTS[0]])]
    engine.load(learner(model).publish(tmp_path))
    groups = [group(engine, prompt, range(4), i) for i, prompt in enumerate(prompts)]
    results = []
    for budget in (4096, 60):
        trained = learner(model, tokens_per_batch=budget)
        trained.step(groups)
        results.append(trained.trained_parameters())
    for name, parameter in results[0].items():
        torch.testing.assert_close(parameter, results[1][name], rtol=1e-3, atol=1e-5)


def test_reward_rises(engine: EncoderEngine, model: Path, tmp_path: Path) -> None:
    trained = learner(model)
    rewards = []
    for step in range(12):
        engine.load(trained.publish(tmp_path))
        metrics = trained.step([group(engine, problem(model), range(16 * step, 16 * step + 16))])
        rewards.append(metrics["reward/mean"])
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1


def test_a_model_of_another_kind_is_refused(tiny_model: Path) -> None:
    with pytest.raises(UserError, match=r"has no modules\.json"):
        Encoder(tiny_model)


def test_rankers_serve_the_trained_policy(
    engine: EncoderEngine, model: Path, tmp_path: Path
) -> None:
    trained = learner(model)
    engine.load(trained.publish(tmp_path))
    prompt = problem(model)
    trained.step([group(engine, prompt, range(6))])
    policy = trained.publish(tmp_path)
    engine.load(policy)
    [[greedy]] = engine.generate([prompt], seeds_P_G=[[0]], sampling=GREEDY)
    reranker = bi_encoder_reranker(SentenceEmbedder(model, adapter=policy.path))
    passages = [Passage(id=text, text=text) for text in TEXTS[1:]]
    ranking = reranker.rank(Query(id="q", text=TEXTS[0]), passages)
    assert ranking.order == greedy.token_ids
