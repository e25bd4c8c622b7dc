"""A few seconds of pre-training end to end, and the card written from its curve."""

import json
import random
from pathlib import Path

import pytest
import torch

from rankers.datasets import pydoc
from rlpost.models.loading import load_base, load_tokenizer
from rlpost.tiny_ranker.card import write_card
from rlpost.tiny_ranker.make import make_model
from rlpost.tiny_ranker.pretrain import CURRICULUM, Metrics, Stage
from rlpost.tiny_ranker.problems import ProblemMix

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "nrst"]


def entries() -> list[pydoc.DocEntry]:
    """Three hundred documents of random words, each with a query of three of them."""
    draw = random.Random(0)
    made = []
    for number in range(300):
        words = draw.sample(WORDS, 15)
        summary, body = " ".join(words[:3]), " ".join([*words, ">"])
        made.append(pydoc.DocEntry(id=f"m{number}:f", title=words[3], summary=summary, body=body))
    return made


SHORT = Stage(
    until=1.0, length=96, size=8, mix=ProblemMix(synthetic=0.1, drawn=0.5, hard=0.5, lists=(2, 3))
)


@pytest.mark.slow
def test_from_texts_to_a_model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydoc, "load_entries", lambda split: entries())
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # 30 s per shape
    monkeypatch.setattr("rlpost.tiny_ranker.pretrain.CURRICULUM", (SHORT,))
    monkeypatch.setattr("rlpost.tiny_ranker.pretrain.LOG_EVERY", 2)
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

    write_card(out, curve=curve, quality="| a table |", minutes=0.2, seed=0)
    card = (out / "README.md").read_text("utf-8")
    assert f"{parameters / 1e6:.1f} million parameters" in card
    assert "| a table |" in card


def test_the_curriculum_covers_the_time_and_fits_its_sequences() -> None:
    ends = [stage.until for stage in CURRICULUM]
    assert ends == sorted(ends)
    assert ends[-1] == 1.0
    for stage in CURRICULUM:
        frame = 16 + 16  # chat turns and the longest query
        room = (stage.length - frame) // stage.mix.lists[1] - 4
        assert room >= 12, f"passages of {room} tokens say too little"
