"""Task pg_rank: what a problem is made of, and which configs make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from rankers.errors import DataError, UserError
from rlpost.config import parse
from rlpost.config.run import RunConfig
from rlpost.models.encoder_rows import split_rows
from rlpost.models.loading import load_bare_tokenizer
from rlpost.tasks.by_name import prepare
from rlpost.tasks.ranking.prompts import candidates_of
from rlpost.types import Completion
from tests.small_beir import FACTS, small_beir
from tests.tiny_encoder import bi_encoder_dir


def config(values: dict[str, Any]) -> RunConfig:
    sections = {
        "task": {"kind": "pg_rank", "candidates": 3, "passage_tokens": 12, "query_tokens": 8},
        "rollout": {"engine": "encoder"},
    }
    return parse(sections | values, origin="test")


def test_a_problem_is_the_rows_of_query_and_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    model = bi_encoder_dir(tmp_path / "encoder")
    data = {"path": str(small_beir(tmp_path / "beir")), "first_stage": "bm25s"}
    prepared = prepare(config({"model": {"path": str(model)}, "data": data}), say=lambda _: None)
    tokenizer = load_bare_tokenizer(model)
    prompt = prepared.source.prompt(0)
    shown = candidates_of(prompt)
    query, *passages = split_rows(prompt.token_ids)
    texts = [FACTS[doc_id][1] for doc_id in shown.doc_ids]
    assert passages == [
        tuple(tokenizer(text, truncation=True, max_length=12)["input_ids"]) for text in texts
    ]
    assert len(query) <= 8

    def asked(**prompts: str) -> tuple[int, ...]:
        task = {"kind": "pg_rank", "candidates": 3, "passage_tokens": 4, "query_tokens": 4}
        values = {"model": {"path": str(model)}, "data": data, "task": task | prompts}
        source = prepare(config(values), say=lambda _: None).source
        return tuple(source.prompt(0).token_ids)

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    # A prompt is not cut into its text's room.
    bare, told = split_rows(asked()), split_rows(asked(query_prompt="cat ", passage_prompt="dog "))
    for words, one, other in zip(("cat", *["dog"] * 3), bare, told, strict=True):
        assert other == (one[0], *ids(words), *one[1:])
    reward = prepared.reward()
    order = sorted(range(len(passages)), key=lambda i: -shown.gains[i])
    best = Completion(
        token_ids=tuple(order),
        logprobs_T=(-1.0,) * len(order),
        versions_T=(0,) * len(order),
        finish="stop",
        text=" > ".join(f"[{i + 1}]" for i in order),
    )
    assert reward(prompt, best).total == 1.0
    assert prepared.held_out.rank(prompt, best)[0].id == shown.doc_ids[order[0]]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rollout": {"engine": "vllm"}}, "rollout.engine is 'vllm', which task.kind 'pg_rank'"),
        ({"task": {"kind": "rerank"}}, "rollout.engine is 'encoder', which task.kind 'rerank'"),
        ({"model": {"warm_start": {"steps": 5}}}, r"model.warm_start.steps > 0: .* leave it out"),
        ({"model": {"max_length": 64}}, "more than the 32 tokens that model.max_length leaves"),
    ],
)
def test_configs_that_make_no_sense(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(values)


def test_an_encoder_without_its_weights_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    model = bi_encoder_dir(tmp_path / "encoder")
    weights = {
        key: tensor
        for key, tensor in load_file(model / "model.safetensors").items()
        if "layer.1.output" not in key
    }
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    data = {"path": str(small_beir(tmp_path / "beir")), "first_stage": "bm25s"}
    with pytest.raises(DataError, match=r"lacks encoder\.layer\.1\.output"):
        prepare(config({"model": {"path": str(model)}, "data": data}), say=lambda _: None)
