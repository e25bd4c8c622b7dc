"""`rlpost distill`: lists, measure, train, save, measure again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from rankers.files.trec import read_run
from rankers.model_path import resolve
from rankers.types import Collection, Passage, Query, Run, ScoredDoc
from rlpost.diagnostics.monotony import warnings_of
from rlpost.distill.config import DistillConfig
from rlpost.distill.lists import ListTexts, TeacherLists, strangers
from rlpost.distill.present import load_present
from rlpost.distill.progress import watched
from rlpost.distill.students import build_student, ranker
from rlpost.learner.optim import OptimSettings
from rlpost.models.loading import load_bare_tokenizer
from rlpost.rollout.seeding import seed_at
from rlpost.tasks.base import HeldOut
from rlpost.tasks.held_out import compared, save_run
from rlpost.tasks.ranking.collection import candidate_lists, refuse_overlap
from rlpost.tasks.ranking.prompts import held_out_queries
from rlpost.tracking.claim import Claim, claimed
from rlpost.tracking.resources import PeakMemory, Stopwatch
from rlpost.tracking.run_dir import CONFIG, RunDir
from rlpost.tracking.summary import Summary, verdict

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What is learnt from and what is measured on."""

    training: TeacherLists
    measured: ListTexts
    held_out: HeldOut


def distill(config: Path, overrides: Sequence[str]) -> Path:
    """Run ``config`` to its end; returns the run directory, with the student in ``model``.

    Raises UserError or DataError on bad input, TrainingError where the training diverges, and
    KeyboardInterrupt, which says what there is, when interrupted.
    """
    cfg = load_present(config, overrides)
    claim = claimed(cfg.run_dir)
    try:
        return _distilled(cfg, claim)
    except KeyboardInterrupt:
        made = (claim.path / CONFIG).is_file()
        kept = f"{claim.path} has its log, but no student" if made else "nothing was saved"
        raise KeyboardInterrupt(f"interrupted: {kept}; start the command again") from None
    finally:
        claim.abandon()


def _distilled(cfg: DistillConfig, claim: Claim) -> Path:
    console = Console(stderr=True, highlight=False)
    clock = Stopwatch()
    with PeakMemory() as memory:
        lists = prepare_lists(cfg, say=console.print)
        path = claim.path
        resolved = yaml.safe_dump(cfg.model_dump(mode="json"), sort_keys=False)
        run_dir = RunDir.create(path, resolved, claim)
        clock.lap("prepare")
        before = measured(cfg, lists, resolve(cfg.model.path), run_dir, "before")
        clock.lap("evaluate_before")
        train_student(cfg, lists.training, run_dir, console)
        clock.lap("train")
        after = measured(cfg, lists, path / "model", run_dir, "after")
        clock.lap("evaluate_after")
        outcome = compared(
            before=before,
            after=after,
            held_out=lists.held_out,
            measures=cfg.evaluation.measures,
            resamples=cfg.evaluation.bootstrap_samples,
            seed=cfg.seed,
        )
        warned = warnings_of(after, lists.held_out, outcome, cfg.evaluation.measures)
        summary = Summary(
            status="finished",
            steps=cfg.steps,
            num_queries=len(lists.held_out.qrels),
            seconds=clock.laps(),
            peak_rss_mb=memory.peak_mb,
            extra={"warnings": warned} if warned else {},
            **{name: getattr(outcome, name) for name in outcome.__slots__},
        )
    run_dir.write_summary(summary)
    run_dir.close()
    console.print(verdict(summary, cfg.evaluation.measures[0]), soft_wrap=True)
    for warning in warned:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    console.print(f"student: {path / 'model'}", soft_wrap=True)
    return path


def prepare_lists(cfg: DistillConfig, *, say: Say) -> Lists:
    """Everything that needs no model."""
    tokenizer = load_bare_tokenizer(cfg.model.path)

    def texts_of(split: str) -> tuple[ListTexts, Run]:
        collection, run = candidate_lists(
            cfg.data, split, depth=cfg.candidates, say=say, seed=cfg.seed
        )
        texts = ListTexts(
            collection=collection,
            tokenizer=tokenizer,
            passage_tokens=cfg.passage_tokens,
            query_tokens=cfg.query_tokens,
        )
        return texts, run

    given = read_run(cfg.teacher) if isinstance(cfg.teacher, Path) else None
    training, first_stage = texts_of(cfg.data.train_split)
    teacher = by_labels(training.collection, first_stage) if cfg.teacher == "labels" else given
    lists = TeacherLists(
        texts=training,
        run=first_stage if teacher is None else teacher,
        length=cfg.candidates,
        seed=cfg.seed,
        shown=first_stage if cfg.input_order == "first_stage" else None,
    )
    if teacher is not None:
        for note in strangers(teacher, training.collection, str(cfg.teacher)):
            say(note)
    held_out, first_stage = texts_of(cfg.data.eval_split)
    refuse_overlap(training.collection, held_out.collection)
    say(f"the teacher has lists of {cfg.candidates} for {len(lists)} training queries")
    return Lists(training=lists, measured=held_out, held_out=queries(cfg, held_out, first_stage))


def by_labels(collection: Collection, run: Run) -> Run:
    """``run`` with the documents that the judgements prefer in front; ties stay as they are."""
    return {
        query_id: sorted(docs, key=lambda doc: -collection.qrels.get(query_id, {}).get(doc.id, 0))
        for query_id, docs in run.items()
    }


def queries(cfg: DistillConfig, texts: ListTexts, first_stage: Run) -> HeldOut:
    """The queries to measure on, the same for every run with the same data and seed."""
    collection = texts.collection
    chosen = held_out_queries(collection, limit=cfg.data.eval_queries, seed=cfg.seed)
    first = {q: first_stage[q] for q in chosen if first_stage.get(q)}
    return HeldOut(
        prompts=(),
        rank=lambda prompt, completion: [],
        qrels={query_id: collection.qrels[query_id] for query_id in chosen},
        baselines={"first stage": first, "shuffled": shuffled(first, seed=cfg.seed)},
        name=collection.name,
        shown="first stage",
        chance="shuffled",
    )


def shuffled(run: Run, *, seed: int) -> Run:
    """The documents of each query in an order drawn at random."""
    drawn = {}
    for query_id, docs in run.items():
        ids = [doc.id for doc in docs]
        random.Random(seed_at(seed, "chance", query_id)).shuffle(ids)
        drawn[query_id] = [ScoredDoc(doc_id, -float(rank)) for rank, doc_id in enumerate(ids)]
    return drawn


def measured(cfg: DistillConfig, lists: Lists, model: Path, run_dir: RunDir, name: str) -> Run:
    """The first stage's candidates of the held-out queries as ``model`` orders them; saved."""
    texts = lists.measured
    problems = [
        (
            Query(id=query_id, text=texts.query(query_id)),
            [Passage(id=doc.id, text=texts.passage(doc.id)) for doc in docs],
        )
        for query_id, docs in lists.held_out.baselines["first stage"].items()
    ]
    rankings = ranker(cfg, model).rank_many(problems)
    run = {
        query.id: ranking.run_line([passage.id for passage in passages])
        for (query, passages), ranking in zip(problems, rankings, strict=True)
    }
    save_run(run_dir.path, name, run)
    return run


def train_student(
    cfg: DistillConfig, lists: TeacherLists, run_dir: RunDir, console: Console
) -> None:
    """All steps; leaves the student in the run directory."""
    from rlpost.distill.fit import fit

    optim = cfg.optimizer
    student = build_student(cfg)
    with watched(console, steps=cfg.steps) as show:

        def observe(step: int, metrics: Mapping[str, float]) -> None:
            run_dir.log_step(step, step, metrics)
            show(step, metrics)

        fit(
            student,
            lists,
            steps=cfg.steps,
            batch_size=cfg.batch_size,
            optim=OptimSettings(
                learning_rate=optim.learning_rate,
                schedule=optim.schedule,
                warmup_steps=optim.warmup_steps,
                total_steps=cfg.steps,
                weight_decay=optim.weight_decay,
                max_grad_norm=optim.max_grad_norm,
            ),
            observe=observe,
        )
    student.save(run_dir.path)
