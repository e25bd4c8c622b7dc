"""Tasks rank_r1 and iranker: what prompts hold, what answers earn, how they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rankers.errors import UserError
from rlpost.config import parse
from rlpost.config.run import RunConfig
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.by_name import prepare
from rlpost.tasks.held_out import run_of
from rlpost.tasks.ranking.prompts import candidates_of
from rlpost.tasks.ranking.selection import relevant_position
from rlpost.types import Completion, Prompt
from tests.small_beir import small_beir


@pytest.fixture(scope="module")
def beir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_beir(tmp_path_factory.mktemp("choosing") / "beir")


def config(kind: str, beir: Path, *, max_length: int = 1024) -> RunConfig:
    return parse(
        {
            "model": {"path": "tiny-ranker", "max_length": max_length},
            "data": {"path": str(beir), "first_stage": "bm25s"},
            "task": {"kind": kind, "candidates": 3, "passage_tokens": 16},
            "rollout": {"engine": "hf", "max_new_tokens": 32},
        },
        origin="test",
    )


@pytest.fixture(scope="module", params=["rank_r1", "iranker"])
def prepared(
    request: pytest.FixtureRequest,
    beir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> PreparedTask:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLPOST_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare(config(request.param, beir), say=lambda _: None)


def completion(text: str) -> Completion:
    return Completion(token_ids=(1,), logprobs_T=(-1.0,), versions_T=(0,), finish="stop", text=text)


def test_a_training_prompt_shows_one_relevant_passage(prepared: PreparedTask) -> None:
    prompts = [prepared.source.prompt(index) for index in range(16)]
    for prompt in prompts:
        gains = candidates_of(prompt).gains
        assert sorted(gains) == [0] * (len(gains) - 1) + [1]
        assert 2 <= len(gains) <= 3
    assert len({relevant_position(prompt) for prompt in prompts}) > 1, (
        "its place is not always the same"
    )


def test_the_stream_is_addressable(prepared: PreparedTask) -> None:
    assert prepared.source.prompt(5) == prepared.source.prompt(5)
    assert prepared.source.prompt(5).token_ids != prepared.source.prompt(5 + 8).token_ids


def test_what_a_warm_start_imitates_is_well_formed(prepared: PreparedTask) -> None:
    reward = prepared.reward()
    for index in range(8):
        prompt = prepared.source.prompt(index)
        total = reward(prompt, completion(prepared.imitate(prompt))).total
        assert total in (0.0, 1.0), "format terms are full: it is right or wrong, no less"


def test_nonsense_is_data(prepared: PreparedTask) -> None:
    prompt = prepared.source.prompt(0)
    reward = prepared.reward()
    assert all(reward(prompt, completion(text)).total <= 0 for text in ("", "[1]", "<think>"))


def right(prompt: Prompt) -> str:
    """The answer of one who sees which passage speaks of the query: they share their words."""
    content = prompt.messages[-1].content
    kind, mark = ("least likely", "passage {}: ") if "least likely" in content else ("", "[{}] ")
    first = 0 if kind else 1
    lines = {
        i: line
        for line in content.splitlines()
        for i in range(first, first + 3)
        if line.startswith(mark.format(i))
    }
    query = content.splitlines()[0]
    shared = {i: len(set(query.lower().split()) & set(t.lower().split())) for i, t in lines.items()}
    if kind:
        chosen = min(shared, key=lambda i: shared[i])
        return f"<think>so</think> <answer>passage {chosen}</answer>"
    chosen = max(shared, key=lambda i: shared[i])
    return f"<think>so</think> <answer>[{chosen}]</answer>"


def test_measuring_is_the_methods_own_reranking(prepared: PreparedTask) -> None:
    asked: list[int] = []

    def answer(prompts: Sequence[Prompt]) -> list[Completion]:
        asked.append(len(prompts))
        return [completion(right(prompt)) for prompt in prompts]

    run = run_of(prepared.held_out, answer)
    assert len(asked) > 1, "several questions per query"
    assert list(run) == [prompt.id for prompt in prepared.held_out.prompts]
    for prompt in prepared.held_out.prompts:
        assert sorted(doc.id for doc in run[prompt.id]) == sorted(candidates_of(prompt).doc_ids)
    nonsense = run_of(prepared.held_out, lambda prompts: [completion("")] * len(prompts))
    assert nonsense.keys() == run.keys()


def test_nonsense_keeps_the_best_of_the_first_stage(prepared: PreparedTask) -> None:
    nonsense = run_of(prepared.held_out, lambda prompts: [completion("")] * len(prompts))
    for query_id, docs in prepared.held_out.baselines["first stage"].items():
        assert nonsense[query_id][0].id == docs[0].id


def test_a_prompt_without_room_is_refused(beir: Path) -> None:
    cfg = config("rank_r1", beir, max_length=200)
    with pytest.raises(UserError, match=r"raise model\.max_length or lower"):
        prepare(cfg, say=lambda _: None)
