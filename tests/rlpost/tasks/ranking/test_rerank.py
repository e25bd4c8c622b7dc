"""Task rerank: what prompts show, what answers earn, what is held out."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rankers.datasets.load import load_collection
from rankers.errors import UserError
from rankers.first_stage.bm25 import bm25_run
from rankers.prompting.templates import Template
from rankers.types import Document
from rlpost.config.task import PgRankTask, RerankTask
from rlpost.models.loading import load_tokenizer, render
from rlpost.tasks.ranking.prompts import (
    Candidates,
    ChatPromptWriter,
    PromptLayout,
    RerankPrompts,
    candidates_of,
    evaluation_prompts,
    held_out_queries,
)
from rlpost.tasks.ranking.rewards import RerankReward, ranked_documents, teacher_answer
from rlpost.types import Completion, Prompt
from tests.small_beir import small_beir

SHAPE = PromptLayout(
    num_candidates=3, template="compact", passage_tokens=12, query_tokens=12, longest_prompt=200
)


def completion(text: str) -> Completion:
    return Completion(token_ids=(1,), logprobs_T=(-1.0,), versions_T=(0,), finish="stop", text=text)


def shown(*gains: int) -> Prompt:
    ids = tuple(f"d{i}" for i in range(len(gains)))
    payload = Candidates(query_id="q", doc_ids=ids, gains=gains)
    return Prompt(id="q", messages=(), token_ids=(1,), payload=payload)


@pytest.fixture
def writer(tmp_path: Path, tiny_model: Path) -> ChatPromptWriter:
    collection = load_collection(small_beir(tmp_path / "beir"), "train")
    run = bm25_run(collection, depth=3, cache_dir=tmp_path / "cache", engine="bm25s")
    tokenizer = load_tokenizer(tiny_model)
    return ChatPromptWriter(
        collection=collection,
        run=run,
        shape=SHAPE,
        tokenizer=tokenizer,
        render=partial(render, tokenizer),
    )


def test_reward_of_a_perfect_and_of_a_reversed_ranking() -> None:
    reward = RerankReward(depth=10, format_weight=0.1)
    best = reward(shown(0, 1), completion("[2] > [1]"))
    worst = reward(shown(0, 1), completion("[1] > [2]"))
    assert best.total == pytest.approx(1.0)
    assert worst.total == pytest.approx(0.9 / math.log2(3) + 0.1)  # second place: 1 / log2(3)
    assert worst.parts == {"ndcg": pytest.approx(1 / math.log2(3)), "format": 1.0}
    assert tuple(worst.parts) == RerankTask.reward_parts == PgRankTask.reward_parts


def test_an_incomplete_ranking_keeps_its_order_but_not_the_format_part() -> None:
    score = RerankReward(depth=10, format_weight=0.25)(shown(0, 0, 1), completion("[3]"))
    assert score.parts == {"ndcg": pytest.approx(1.0), "format": 0.0}
    assert score.total == pytest.approx(0.75)


@pytest.mark.parametrize("text", ["", "no idea", "[9] > [8]", "<think>[2]"])
def test_nonsense_is_data_and_leaves_the_order_shown(text: str) -> None:
    prompt = shown(1, 0)
    assert RerankReward(depth=10, format_weight=0.1)(prompt, completion(text)).total == 0.9
    assert [doc.id for doc in ranked_documents(prompt, completion(text))] == ["d0", "d1"]


def test_without_a_relevant_candidate_only_the_format_counts() -> None:
    assert RerankReward(depth=10, format_weight=0.1)(
        shown(0, 0), completion("[2] > [1]")
    ).total == (pytest.approx(0.1))


def test_a_prompt_shows_each_candidate_once_in_seeded_order(writer: ChatPromptWriter) -> None:
    query_id = next(iter(writer.collection.queries))
    first, again = (writer.write(query_id, seed=1) for _ in range(2))
    assert first == again
    payload = candidates_of(first)
    assert sorted(payload.doc_ids) == sorted(writer.candidates(query_id))
    orders = {candidates_of(writer.write(query_id, seed=s)).doc_ids for s in range(30)}
    assert len(orders) == math.factorial(3)
    text = first.messages[0].content
    places = [text.index(f"[{i}]") for i in range(1, len(payload.doc_ids) + 1)]
    assert text.startswith("Query: ")
    assert places == sorted(places)
    for doc_id, gain in zip(payload.doc_ids, payload.gains, strict=True):
        assert gain == writer.collection.qrels[query_id].get(doc_id, 0)


def test_the_teachers_answer_is_the_first_stages_order(writer: ChatPromptWriter) -> None:
    query_id = next(iter(writer.collection.queries))
    prompt = writer.write(query_id, seed=5)
    answer = teacher_answer(writer, prompt)
    assert [doc.id for doc in ranked_documents(prompt, completion(answer))] == writer.candidates(
        query_id
    )


def test_an_epoch_visits_every_query_once_and_epochs_differ(writer: ChatPromptWriter) -> None:
    source = RerankPrompts(writer, seed=0)
    epochs = [[source.prompt(e * len(source) + i) for i in range(len(source))] for e in (0, 1)]
    ids = [[prompt.id for prompt in prompts] for prompts in epochs]
    assert sorted(ids[0]) == sorted(ids[1]) == sorted(set(ids[0]))
    assert ids[0] != ids[1]
    assert source.epoch(len(source) - 1) == 0
    assert source.epoch(len(source)) == 1
    assert RerankPrompts(writer, seed=0).prompt(3) == source.prompt(3)


def test_training_leaves_out_queries_without_a_relevant_candidate(writer: ChatPromptWriter) -> None:
    source = RerankPrompts(writer, seed=0)
    for index in range(len(source)):
        assert max(candidates_of(source.prompt(index)).gains) > 0


def test_held_out_queries_are_chosen_by_the_seed_alone(writer: ChatPromptWriter) -> None:
    everything = held_out_queries(writer.collection, limit=99, seed=0)
    assert everything == list(writer.collection.queries)
    assert held_out_queries(writer.collection, limit=3, seed=0) == held_out_queries(
        writer.collection, limit=3, seed=0
    )
    prompts = evaluation_prompts(writer, everything, seed=0)
    assert [p.id for p in prompts] == [q for q in everything if writer.candidates(q)]


def test_a_prompt_that_cannot_fit_is_refused_before_it_is_written(writer: ChatPromptWriter) -> None:
    with pytest.raises(UserError, match=r"only 20 fit: raise model\.max_length"):
        ChatPromptWriter(
            collection=writer.collection,
            run=writer.run,
            shape=PromptLayout(
                num_candidates=3,
                template="compact",
                passage_tokens=12,
                query_tokens=12,
                longest_prompt=20,
            ),
            tokenizer=writer._tokenizer,
            render=writer._render,
        )


@pytest.mark.parametrize("template", ["compact", "rank_zephyr", "rankgpt"])
def test_the_smallest_length_with_room_fits_every_prompt(
    template: Template, tmp_path: Path, tiny_model: Path
) -> None:
    collection = load_collection(small_beir(tmp_path / "beir"), "train")
    words = " Zq\u00e9 [3] zz\u4e2d\u6587 <think> Xy" * 12
    collection = replace(
        collection,
        queries={name: text + words for name, text in collection.queries.items()},
        corpus={
            name: Document(id=name, title="", text=document.text + words)
            for name, document in collection.corpus.items()
        },
    )
    run = bm25_run(collection, depth=3, cache_dir=tmp_path / "cache", engine="bm25s")
    tokenizer = load_tokenizer(tiny_model)

    def writer(longest: int) -> ChatPromptWriter:
        return ChatPromptWriter(
            collection=collection,
            run=run,
            shape=replace(SHAPE, template=template, longest_prompt=longest),
            tokenizer=tokenizer,
            render=partial(render, tokenizer),
        )

    with pytest.raises(UserError, match="a prompt may need") as refused:
        writer(10)
    needed = int(str(refused.value).split("a prompt may need ")[1].split()[0])
    with pytest.raises(UserError, match=f"only {needed - 1} fit"):
        writer(needed - 1)
    source = RerankPrompts(writer(needed), seed=0)
    lengths = [len(source.prompt(index).token_ids) for index in range(3 * len(source))]
    assert max(lengths) <= needed
    assert max(lengths) > needed - 12, "and little more than that"
