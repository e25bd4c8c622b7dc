"""Config -> everything a run needs before a model is loaded: data, first stage, prompts, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from rankers import lucene
from rankers.datasets import load_collection
from rankers.first_stage import Engine as FirstStage
from rankers.first_stage import bm25_run
from rankers.types import Collection, Qrels, Run
from rlpost.config import RunConfig
from rlpost.errors import UserError
from rlpost.models import context_length, load_tokenizer, render
from rlpost.tasks.rerank import (
    Format,
    TrainingPrompts,
    Writer,
    evaluation_prompts,
    held_out_queries,
)
from rlpost.types import Prompt

FIRST_STAGES: dict[str, FirstStage] = {"bm25": "lucene", "bm25s": "bm25s"}
ENGINE_MODULES = {"vllm": "vllm", "hf": "transformers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The queries a run is measured on."""

    prompts: Sequence[Prompt]
    qrels: Qrels
    """Judgements of exactly the chosen queries, those without candidates included."""
    first_stage: Run
    """The candidates in the first stage's own order, for comparison."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the parts of a run are made from."""

    writer: Writer
    """Writes training prompts."""
    source: TrainingPrompts
    held_out: HeldOut


def prepare(cfg: RunConfig, *, say: Callable[[str], None]) -> Prepared:
    """Load and check everything that needs no model. ``say`` is told what takes time.

    Raises UserError or DataError: one sentence with the value and the remedy.
    """
    check_parts(cfg)
    tokenizer = load_tokenizer(cfg.model.path)
    context_length(cfg.model.path, cfg.model.max_length)
    shape = Format(
        num_candidates=cfg.task.candidates,
        template=cfg.task.template,
        passage_tokens=cfg.task.passage_tokens,
        query_tokens=cfg.task.query_tokens,
        longest_prompt=cfg.longest_prompt,
    )

    def writer_of(split: str) -> Writer:
        say(f"loading {cfg.data.path} ({split})")
        collection = load_collection(cfg.data.path, split)
        say(f"first stage {cfg.data.first_stage} over {len(collection.queries)} {split} queries")
        run = candidates(collection, cfg)
        return Writer(
            collection=collection,
            run=run,
            shape=shape,
            tokenizer=tokenizer,
            render=partial(render, tokenizer),
        )

    training = writer_of(cfg.data.train_split)
    measured = writer_of(cfg.data.eval_split)
    refuse_overlap(training.collection, measured.collection)
    return Prepared(
        writer=training,
        source=TrainingPrompts(training, seed=cfg.seed),
        held_out=held_out(measured, cfg),
    )


def check_parts(cfg: RunConfig) -> None:
    """UserError or EngineError when what the config names is not installed."""
    if find_spec(ENGINE_MODULES[cfg.rollout.engine]) is None:
        raise UserError(
            f"rollout.engine is {cfg.rollout.engine!r} but it is not installed: "
            "run scripts/setup, or set rollout.engine=hf"
        )
    if cfg.data.first_stage == "bm25":
        lucene.require()


def candidates(collection: Collection, cfg: RunConfig) -> Mapping[str, list]:  # type: ignore[type-arg]
    """The first stage's best documents for every query, cached on disk."""
    return bm25_run(
        collection, depth=cfg.task.candidates, engine=FIRST_STAGES[cfg.data.first_stage]
    )


def refuse_overlap(training: Collection, measured: Collection) -> None:
    """UserError when a query would be both trained on and measured on."""
    shared = sorted(set(training.queries) & set(measured.queries))
    if shared:
        raise UserError(
            f"{len(shared)} queries, such as {shared[0]!r}, are in both the training and the "
            "evaluation split: a gain on them would mean nothing; choose another data.eval_split"
        )


def held_out(writer: Writer, cfg: RunConfig) -> HeldOut:
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
        qrels={query_id: collection.qrels[query_id] for query_id in query_ids},
        first_stage={prompt.id: writer.run[prompt.id] for prompt in prompts},
        name=collection.name,
    )
