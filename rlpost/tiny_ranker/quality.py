"""How good a listwise ranker is on short lists, beside BM25 and the shuffled order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rankers.evaluation.measures import evaluate
from rankers.evaluation.significance import bootstrap_interval
from rankers.first_stage.bm25 import Bm25Engine as FirstStage
from rankers.first_stage.bm25 import bm25_run
from rankers.prompting.parsing import parse_permutation
from rankers.types import Collection, Run, ScoredDoc
from rlpost.models.loading import load_tokenizer, render
from rlpost.rollout.engines.hf import HfEngine
from rlpost.rollout.seeding import seed_at
from rlpost.tasks.ranking.prompts import (
    ChatPromptWriter,
    PromptLayout,
    candidates_of,
    evaluation_prompts,
)
from rlpost.tasks.ranking.rewards import ranked_documents
from rlpost.types import Prompt, Sampling

SIZES = (2, 3, 4, 5, 8, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One system on one collection."""

    system: str
    ndcg: float
    ci95: tuple[float, float]
    rr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The table of one collection."""

    collection: str
    num_queries: int
    malformed: float
    """Share of answers that are not one whole, well-formed permutation."""
    rows: tuple[QualityRow, ...]


def list_run(collection: Collection, found: Run, size: int) -> dict[str, list[ScoredDoc]]:
    """The best `size` documents of each query, where a relevant one is among them."""
    lists: dict[str, list[ScoredDoc]] = {}
    for query_id, docs in found.items():
        relevant = {d for d, gain in collection.qrels[query_id].items() if gain > 0}
        best = docs[:size]
        if len(best) == size and not relevant.isdisjoint(doc.id for doc in best):
            lists[query_id] = best
    return lists


def measure_quality(
    model: str | Path,
    collection: Collection,
    *,
    queries: int = 600,
    size: int = 5,
    passage_tokens: int = 28,
    seed: int = 0,
    first_stage: FirstStage = "lucene",
) -> Quality:
    """Rank lists of `size` greedily with the reference engine; nDCG@10 with bootstrap intervals."""
    lists = list_run(collection, bm25_run(collection, depth=size, engine=first_stage), size)
    tokenizer = load_tokenizer(model)
    shape = PromptLayout(
        num_candidates=size,
        template="compact",
        passage_tokens=passage_tokens,
        query_tokens=24,
        longest_prompt=1024,
    )
    writer = ChatPromptWriter(
        collection=collection,
        run=lists,
        shape=shape,
        tokenizer=tokenizer,
        render=lambda messages: render(tokenizer, messages),
    )
    chosen = random.Random(seed).sample(sorted(lists), min(queries, len(lists)))
    prompts = evaluation_prompts(writer, chosen, seed=seed)
    answers = HfEngine(model).generate(
        prompts,
        seeds_P_G=[[0] for _ in prompts],
        sampling=Sampling(temperature=0.0, max_tokens=2 * size + 2),
    )
    qrels = {prompt.id: collection.qrels[prompt.id] for prompt in prompts}
    runs: dict[str, Run] = {
        "shuffled": {prompt.id: _shuffled(prompt, seed) for prompt in prompts},
        "BM25": {prompt.id: lists[prompt.id] for prompt in prompts},
        "model": {
            p.id: ranked_documents(p, answer) for p, (answer,) in zip(prompts, answers, strict=True)
        },
    }
    malformed = [not parse_permutation(a.text, size).well_formed for (a,) in answers]
    return Quality(
        collection=collection.name,
        num_queries=len(prompts),
        malformed=sum(malformed) / len(malformed),
        rows=tuple(_row(name, run, qrels) for name, run in runs.items()),
    )


def table(qualities: Sequence[Quality]) -> str:
    """The tables as Markdown."""
    lines = ["| collection | system | nDCG@10 | 95% interval | RR@10 |", "|---|---|---|---|---|"]
    for quality in qualities:
        name = f"{quality.collection} ({quality.num_queries} queries)"
        lines += [
            f"| {name} | {row.system} | {row.ndcg:.4f} | {row.ci95[0]:.4f} to {row.ci95[1]:.4f} "
            f"| {row.rr:.4f} |"
            for row in quality.rows
        ]
    return "\n".join(lines)


def forms(model: str | Path, collection: Collection, sizes: Sequence[int] = SIZES) -> str:
    """How many answers are one whole, well-formed permutation, by size of list: a sentence."""
    shares = {n: measure_quality(model, collection, queries=150, size=n).malformed for n in sizes}
    listed = ", ".join(f"{n}: {1 - share:.0%}" for n, share in shares.items())
    return (
        f"Well-formed answers by number of passages ({collection.name}): {listed}. The parser\n"
        "reads an order from the others too; a warm start on the size in use mends the form."
    )


def _row(system: str, run: Run, qrels: Mapping[str, Mapping[str, int]]) -> QualityRow:
    result = evaluate(run, qrels)
    values = list(result.per_query["nDCG@10"].values())
    return QualityRow(
        system=system,
        ndcg=result.mean["nDCG@10"],
        ci95=bootstrap_interval(values, resamples=2000, seed=0),
        rr=result.mean["RR@10"],
    )


def _shuffled(prompt: Prompt, seed: int) -> list[ScoredDoc]:
    doc_ids = list(candidates_of(prompt).doc_ids)
    random.Random(seed_at(seed, "shuffled", prompt.id)).shuffle(doc_ids)
    return [ScoredDoc(doc_id, float(-rank)) for rank, doc_id in enumerate(doc_ids)]
