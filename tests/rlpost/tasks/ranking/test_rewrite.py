"""Task rewrite: a reranker over HTTP, or beside the policy, judges rewritten queries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rankers.errors import BackendError, UserError
from rlpost.config import parse
from rlpost.config.run import RunConfig
from rlpost.config.task import RewriteTask
from rlpost.errors import RewardError
from rlpost.rollout.collect import scored_rollouts
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.by_name import prepare
from rlpost.tasks.ranking.prompts import candidates_of
from rlpost.types import Completion, Prompt
from tests.rankers.serve.fakes import WordService, settings
from tests.rankers.serve.sockets import serving
from tests.small_beir import FACTS, small_beir
from tests.tiny_encoder import bi_encoder_dir


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLPOST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield small_beir(tmp_path_factory.mktemp("rewrite") / "beir")


def config(beir: Path, reward: dict[str, Any], **task: object) -> RunConfig:
    return parse(
        {
            "model": {"path": "tiny-ranker", "max_length": 256},
            "data": {"path": str(beir), "first_stage": "bm25s"},
            "task": {"kind": "rewrite", "candidates": 8, "reward": reward, **task},
            "rollout": {"engine": "hf", "max_new_tokens": 16},
        },
        origin="test",
    )


@pytest.fixture
def service() -> WordService:
    return WordService()


@pytest.fixture
def prepared(beir: Path, service: WordService) -> Iterator[PreparedTask]:
    with serving(service, settings(port=0)) as port:
        url = f"http://127.0.0.1:{port}"
        yield prepare(config(beir, {"url": url, "timeout_s": 10}), say=lambda _: None)


def completion(text: str) -> Completion:
    return Completion(token_ids=(1,), logprobs_T=(-1.0,), versions_T=(0,), finish="stop", text=text)


def asking_for_several(prepared: PreparedTask) -> Prompt:
    """A prompt with more than two candidates."""
    prompts = [prepared.source.prompt(index) for index in range(8)]
    return next(prompt for prompt in prompts if len(candidates_of(prompt).doc_ids) > 2)


def test_what_finds_the_relevant_document_earns_its_ndcg(prepared: PreparedTask) -> None:
    prompt = asking_for_several(prepared)
    shown = candidates_of(prompt)
    relevant, other = (
        next(
            FACTS[doc][1] for doc, gain in zip(shown.doc_ids, shown.gains, strict=True) if gain == g
        )
        for g in (1, 0)
    )
    reward = prepared.reward()
    assert reward(prompt, completion(relevant)).total == 1.0
    found = reward(prompt, completion(f"  \n{other}\nsecond line")).total
    assert found in {1 / math.log2(1 + rank) for rank in range(2, len(shown.doc_ids) + 1)}


def test_siblings_share_requests_and_an_empty_one_earns_nothing(
    prepared: PreparedTask, service: WordService
) -> None:
    prompt = asking_for_several(prepared)
    texts = ["list", "a file", " ", "list", "list\nof words", "a file", ""]
    before = len(service.jobs)
    rollouts = scored_rollouts(prompt, [completion(text) for text in texts], prepared.reward())
    assert sorted(job.query.text for job in service.jobs[before:]) == ["a file", "list"]
    alone = [prepared.reward()(prompt, completion(text)) for text in texts]
    assert [rollout.score for rollout in rollouts] == alone
    assert [score.parts["format"] for score in alone] == [1, 1, 0, 1, 1, 1, 0]
    assert alone[2].total == 0
    assert tuple(alone[2].parts) == RewriteTask.reward_parts


def test_a_broken_reranker_is_an_error_not_a_score(
    prepared: PreparedTask, service: WordService
) -> None:
    prompt = asking_for_several(prepared)
    reward = prepared.reward()
    service.failures = 1
    with pytest.raises(RewardError, match=f"reward of prompt {prompt.id!r}.*failed on 1 question"):
        scored_rollouts(prompt, [completion("list")], reward)


def test_held_out_queries_are_ranked_by_what_is_written(prepared: PreparedTask) -> None:
    held_out = prepared.held_out
    assert held_out.rerank is not None

    def ideal(prompts: Sequence[Prompt]) -> list[Completion]:
        return [completion(FACTS[prompt.id.removeprefix("q-")][1]) for prompt in prompts]

    best = held_out.rerank(ideal)
    ranked = {prompt.id for prompt in held_out.prompts}
    for query_id in ranked:
        assert best[query_id][0].id == query_id.removeprefix("q-")
    silent = held_out.rerank(lambda prompts: [completion("") for _ in prompts])
    assert silent == held_out.baselines["query as asked"] != best
    assert set(held_out.baselines) == {"first stage", "query as asked"}


def test_a_warm_start_imitates_the_query(prepared: PreparedTask) -> None:
    prompt = prepared.source.prompt(3)
    text = prepared.imitate(prompt)
    assert text == FACTS[prompt.id.removeprefix("q-")][0]
    assert text in prompt.messages[0].content
    documents = [FACTS[doc_id][1] for doc_id in candidates_of(prompt).doc_ids]
    assert not any(document in prompt.messages[0].content for document in documents)


def test_a_reranker_in_the_same_process(beir: Path, tmp_path: Path) -> None:
    model = str(bi_encoder_dir(tmp_path / "encoder"))
    cfg = config(beir, {"method": "bi-encoder", "model": model})
    prepared = prepare(cfg, say=lambda _: None)
    prompt = prepared.source.prompt(0)
    [rollout] = scored_rollouts(prompt, [completion("cat")], prepared.reward())
    assert 0 < rollout.score.total <= 1


@pytest.mark.parametrize(
    ("reward", "sentence"),
    [
        ({}, "task.reward: there is no reranker: give url, or method and model together"),
        ({"method": "bi-encoder"}, "there is no reranker"),
        ({"url": "http://x", "method": "listwise"}, "'http://x' and method 'listwise' are both"),
        ({"url": "http://x", "timeout_s": 0}, "timeout_s"),
    ],
)
def test_configs_that_make_no_sense(beir: Path, reward: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(beir, reward)


def test_a_reranker_that_is_not_there_stops_the_run_before_it_begins(beir: Path) -> None:
    with pytest.raises(BackendError, match=r"127.0.0.1:9: .*Is a reranker served there"):
        prepare(config(beir, {"url": "http://127.0.0.1:9"}), say=lambda _: None)
    with pytest.raises(UserError, match="'listwize' is no method"):
        prepare(config(beir, {"method": "listwize", "model": "tiny-ranker"}), say=lambda _: None)
    with pytest.raises(UserError, match=r"raise model.max_length or lower task.query_tokens"):
        prepare(config(beir, {"url": "http://127.0.0.1:9"}, query_tokens=250), say=lambda _: None)
