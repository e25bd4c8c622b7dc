"""Candidates are retrieved for the queries that a run can use."""

from pathlib import Path

import pytest

from rlpost.config.run import DataConfig
from rlpost.tasks.ranking.collection import candidate_lists
from rlpost.tasks.ranking.prompts import held_out_queries
from tests.small_beir import small_beir


def test_of_the_evaluation_split_only_held_out_queries_are_retrieved_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLPOST_CACHE", str(tmp_path / "cache"))
    path = str(small_beir(tmp_path / "c"))
    data = DataConfig(path=path, first_stage="bm25s", eval_queries=2)
    said: list[str] = []
    collection, run = candidate_lists(data, "test", depth=3, say=said.append, seed=7)
    whole, everything = candidate_lists(data, "test", depth=3, say=said.append)
    assert len(collection.queries) == 4
    assert list(run) == held_out_queries(whole, limit=2, seed=7)
    assert run == {query_id: everything[query_id] for query_id in run}
    assert "first stage bm25s over 2 test queries" in said
    _, training = candidate_lists(data, "train", depth=3, say=said.append, seed=7)
    assert len(training) == 8
