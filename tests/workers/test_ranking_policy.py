"""A ranking policy goes through the same run as a writing one: queue, canary, report and all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paths import REPO
from tests.small_beir import small_beir
from tests.tiny_encoder import bi_encoder_dir
from workers.train.launch import launch

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.usefixtures("local_ray")
def test_pg_rank_trains_and_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    settings = [
        *(f"model.path={bi_encoder_dir(tmp_path / 'encoder')}", "model.max_length=200"),
        *(f"data.path={small_beir(tmp_path / 'beir')}", "data.first_stage=bm25s"),
        *("task.candidates=3", "task.passage_tokens=12", "task.query_tokens=12"),
        *("steps=3", "groups_per_step=2", "rollout.prompts_per_call=2", "rollout.group_size=4"),
        *(f"output={tmp_path}", "streaming.max_lag=1"),
    ]
    run = launch(
        config=REPO / "configs" / "pg_rank.yaml", overrides=settings, resume=None, address=None
    )
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    assert summary["status"] == "finished"
    assert summary["num_queries"] == 4
    assert {"first stage", "shuffled"} <= summary["baselines"].keys()
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3]
    rollouts = (run / "rollouts" / "step-000001.jsonl").read_text("utf-8").splitlines()
    completion = json.loads(rollouts[0])["completions"][0]
    assert completion["text"].startswith("[")
    assert (run / "report.html").is_file()
