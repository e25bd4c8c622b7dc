"""Task rerank with a reranker as the judge: its order is the ideal one, asked for once a group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankers.prompting.templates import listwise_answer
from rlpost.config import parse
from rlpost.errors import RewardError
from rlpost.rollout.collect import scored_rollouts
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.by_name import prepare
from rlpost.tasks.ranking.prompts import candidates_of
from rlpost.types import Completion, Prompt
from tests.rankers.serve.fakes import WordService, overlap, settings, words
from tests.rankers.serve.sockets import serving
from tests.small_beir import FACTS, HELD_OUT, small_beir


@pytest.fixture
def service() -> WordService:
    return WordService()


@pytest.fixture
def prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: WordService
) -> Iterator[PreparedTask]:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    beir = small_beir(tmp_path / "beir")
    with serving(service, settings(port=0)) as port:
        values = {
            "model": {"path": "tiny-ranker"},
            "data": {"path": str(beir), "first_stage": "bm25s"},
            "task": {
                "kind": "rerank",
                "candidates": 5,
                "reward": {"url": f"http://127.0.0.1:{port}", "model": "words"},
            },
            "rollout": {"engine": "hf"},
        }
        yield prepare(parse(values, origin="test"), say=lambda _: None)


def answer(order: list[int]) -> Completion:
    text = listwise_answer(order)
    return Completion(token_ids=(1,), logprobs_T=(-1.0,), versions_T=(0,), finish="stop", text=text)


def with_candidates(prepared: PreparedTask, n: int) -> Prompt:
    stream = (prepared.source.prompt(index) for index in range(30))
    return next(prompt for prompt in stream if len(candidates_of(prompt).doc_ids) >= n)


def test_the_judge_s_order_is_the_ideal_one(prepared: PreparedTask, service: WordService) -> None:
    prompt = with_candidates(prepared, 3)
    doc_ids = candidates_of(prompt).doc_ids
    query = words(FACTS[prompt.id.removeprefix("q-")][0])
    values = [overlap(query, words(FACTS[doc_id][1])) for doc_id in doc_ids]
    ideal = sorted(range(len(doc_ids)), key=lambda i: -values[i])
    before = len(service.jobs)
    orders = [ideal, ideal[::-1], [ideal[1], ideal[0], *ideal[2:]]]
    best, worst, swapped = (
        rollout.score
        for rollout in scored_rollouts(prompt, list(map(answer, orders)), prepared.reward())
    )
    assert len(service.jobs) == before + 1
    assert best.total == 1
    n = len(ideal)
    gains = [2.0 ** (n - 1 - rank) for rank in range(n)]
    discounts = [1 / math.log2(rank + 2) for rank in range(n)]
    ideal_dcg = sum(g * d for g, d in zip(gains, discounts, strict=True))
    reversed_dcg = sum(g * d for g, d in zip(gains[::-1], discounts, strict=True))
    assert worst.parts["ndcg"] == pytest.approx(reversed_dcg / ideal_dcg)
    assert worst.parts["ndcg"] < swapped.parts["ndcg"] < 1
    assert worst.total == pytest.approx(0.9 * worst.parts["ndcg"] + 0.1)


def test_labels_play_no_part_in_training(prepared: PreparedTask) -> None:
    prompts = [prepared.source.prompt(index) for index in range(len(FACTS) - HELD_OUT)]
    assert any(not any(candidates_of(prompt).gains) for prompt in prompts)
    assert all(len(candidates_of(prompt).doc_ids) > 1 for prompt in prompts)


def test_a_judge_that_fails_stops_the_run(prepared: PreparedTask, service: WordService) -> None:
    service.failures = 1
    prompt = with_candidates(prepared, 2)
    with pytest.raises(RewardError, match=f"reward of prompt {prompt.id!r}.*failed on 1 question"):
        scored_rollouts(prompt, [answer([0, 1])], prepared.reward())
