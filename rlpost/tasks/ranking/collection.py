"""The collection, first stage and splits of a ranking task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rankers.datasets.folders import given_runs
from rankers.datasets.load import load_collection
from rankers.errors import UserError
from rankers.first_stage import lucene
from rankers.first_stage.by_name import LUCENE, first_stage, parts_of
from rankers.types import Collection, Run, ScoredDoc
from rlpost.config.run import DataConfig, RunConfig
from rlpost.tasks.base import HeldOut, Rank
from rlpost.tasks.ranking.prompts import (
    PromptWriter,
    candidates_of,
    evaluation_prompts,
    held_out_queries,
)
from rlpost.tasks.ranking.rewards import ranked_documents
from rlpost.types import Prompt


def require_first_stage(data: DataConfig) -> None:
    """EngineError now rather than after minutes of loading."""
    if LUCENE & set(parts_of(data.first_stage)):
        lucene.require()


def candidate_lists(
    data: DataConfig,
    split: str,
    *,
    depth: int,
    say: Callable[[str], None],
    seed: int | None = None,
) -> tuple[Collection, Run]:
    """One split of the collection, and the ``depth`` best of the first stage for its queries.

    With the run's ``seed``, of the evaluation split only for the queries that ``held_out`` takes.
    """
    say(f"loading {data.path} ({split})")
    collection = load_collection(
        data.path, split, unknown_docs=data.unknown_docs, identical_ids=data.identical_ids
    )
    asked = collection
    if split == data.eval_split and seed is not None:
        chosen = held_out_queries(collection, limit=data.eval_queries, seed=seed)
        asked = replace(collection, queries={q: collection.queries[q] for q in chosen})
    say(f"first stage {data.first_stage} over {len(asked.queries)} {split} queries")
    given = given_runs(Path(data.path))
    run = first_stage(asked, data.first_stage, depth=depth, given=given).run
    lacking = sum(not run.get(query_id) for query_id in asked.queries)
    if lacking:
        say(f"{lacking} of {len(asked.queries)} {split} queries have no candidate")
    return collection, run


def refuse_overlap(training: Collection, measured: Collection) -> None:
    """UserError when a query would be both trained on and measured on."""
    shared = sorted(set(training.queries) & set(measured.queries))
    if shared:
        raise UserError(
            f"{len(shared)} queries, such as {shared[0]!r}, are in both the training and the "
            "evaluation split: a gain on them would mean nothing; choose another data.eval_split"
        )


def held_out(writer: PromptWriter, cfg: RunConfig, *, rank: Rank = ranked_documents) -> HeldOut:
    """The queries to measure on, the same for every run with the same data and seed."""
    collection = writer.collection
    query_ids = held_out_queries(collection, limit=cfg.data.eval_queries, seed=cfg.seed)
    prompts = evaluation_prompts(writer, query_ids, seed=cfg.seed)
    if not prompts:
        raise UserError(
            f"none of the {len(query_ids)} queries of split {cfg.data.eval_split!r} has a "
            "candidate from the first stage: check that queries and corpus belong together"
        )
    return HeldOut(
        prompts=prompts,
        rank=rank,
        qrels={query_id: collection.qrels[query_id] for query_id in query_ids},
        baselines={
            "first stage": {prompt.id: writer.run[prompt.id] for prompt in prompts},
            "shuffled": {prompt.id: _as_shown(prompt) for prompt in prompts},
        },
        name=collection.name,
        shown="shuffled",
        chance="shuffled",
    )


def _as_shown(prompt: Prompt) -> list[ScoredDoc]:
    doc_ids = candidates_of(prompt).doc_ids
    return [ScoredDoc(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids)]
