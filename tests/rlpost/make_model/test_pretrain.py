"""A few seconds of pre-training end to end, and the card written from its curve."""

import json
from pathlib import Path

import pytest
import torch

from rankers import pydoc
from rlpost.make_model.card import write_card
from rlpost.make_model.make import make_model
from rlpost.make_model.pretrain import CURRICULUM, Metrics
from rlpost.models import load_base, load_tokenizer

ENTRIES = [
    pydoc.Entry(
        id=f"m{i}:f",
        title=f"task_{i}",
        summary=f"Do task number {i} of group {i % 7}",
        body=f"Task {i} of group {i % 7} runs > after task {i - 1} of them has come to its end.",
    )
    for i in range(300)
]


@pytest.mark.slow
def test_from_texts_to_a_model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydoc, "load_entries", lambda split: ENTRIES)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # 30 s per shape
    monkeypatch.setattr("rlpost.make_model.pretrain.LOG_EVERY", 2)
    rows: list[Metrics] = []
    out = tmp_path / "model"
    make_model(out, minutes=0.2, seed=0, on_log=rows.append)

    curve = tmp_path / "model.curve.jsonl"
    assert [json.loads(line) for line in curve.read_text("utf-8").splitlines()] == rows
    assert rows[-1]["answer"] < rows[0]["answer"]
    assert load_tokenizer(out).convert_ids_to_tokens(load_tokenizer(out)("[20]")["input_ids"]) == [
        "[20]"
    ]
    parameters = sum(p.numel() for p in load_base(out, "float32").parameters())

    write_card(out, curve=curve, quality="| a table |", minutes=0.2, seed=0, sequences=1234)
    card = (out / "README.md").read_text("utf-8")
    assert f"{parameters / 1e6:.1f} million parameters" in card
    assert "| a table |" in card
    assert "1,234 problems" in card


def test_the_curriculum_covers_the_time_and_fits_its_sequences() -> None:
    ends = [stage.until for stage in CURRICULUM]
    assert ends == sorted(ends)
    assert ends[-1] == 1.0
    for stage in CURRICULUM:
        frame = 16 + 16  # chat turns and the longest query
        room = (stage.length - frame) // stage.mix.lists[1] - 4
        assert room >= 12, f"passages of {room} tokens say too little"
